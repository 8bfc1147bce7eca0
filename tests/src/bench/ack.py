"""Time until a report is acknowledged, at half and at full load.

Full load is a district of 500,000 laptops at one report a minute: 8,333 reports a second, five in a
push. A push that is late because the collector was busy counts from when it was due.
"""

from bench.driver import measure
from bench.systems import Rollcall

PROGRAMS = ["rollcall-collector", "rollcall-bench"]
PACKAGES = []

FULL = 8333
TARGET_MS = 250


def run(bench):
    laptops, seconds = bench.size(40, 1000, 5000), bench.size(1, 8, 60)
    full = bench.size(500, FULL, FULL)
    each = -(-full * seconds // laptops // 5 + 1) * 5
    bench.results.parameters(laptops=laptops, seconds=seconds, full_load_reports_per_s=full, reports_per_push=5)
    half_each = each // 10 * 5 + 5
    file, _ = bench.series("series", laptops, 1 + half_each + each, awake=True)
    system = bench.system(Rollcall)
    system.enrol(laptops, laptops)
    system.start()
    for name, rate, start, count in [("half", full / 2, 1, half_each), ("full", full, 1 + half_each, each)]:
        seen = at_rate(bench, system, file, laptops, rate, start, count)
        tell(bench, name, rate, seen)
    bench.results.note("The laptops are sampled by fewer streams that send more often; what the streams "
                       "themselves take is in `connections`, and what the rules take in time in `ingest`.")
    p99, kept_up = bench.results.here["full_ack_p99_ms"], bench.results.here["full_kept_up"]
    bench.results.target(f"p99 under {TARGET_MS} ms at full load", p99 < TARGET_MS and kept_up,
                         f"{p99} ms at {full:,} reports a second" + ("" if kept_up else ", and it fell behind"))


def at_rate(bench, system, file, laptops, rate, start, count):
    command = system.driver(file, laptops, **{"from": start}, until=start + count,
                            reports_per_push=5, rate=rate)
    seen = measure(bench, system, command)
    seen["planned_s"] = count * laptops / rate
    return seen


def tell(bench, name, rate, seen):
    results, ack = bench.results, seen["ack_ms"]
    for part in ("p50", "p90", "p99", "max"):
        results.put(f"{name}_ack_{part}_ms", ack[part])
    busy = seen["cpu_s_while_fed"] / seen["seconds"]
    # Reports arrive late by a tenth at most, or the load was not borne.
    results.put(f"{name}_kept_up", seen["seconds"] < seen["planned_s"] * 1.1 + 1)
    results.put(f"{name}_processors_used", busy)
    results.row(f"{name} load, {rate:,.0f} reports a second: p50 / p99 / longest, ms",
                rollcall=f"{ack['p50']} / {ack['p99']} / {ack['max']}")
    results.row(f"{name} load: processors used", rollcall=busy)

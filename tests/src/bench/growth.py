"""How ingest, disk, memory, queries, restart and acknowledgements grow with the number of laptops.

Up to some thousand laptops all are connected; of more the connections are a sample, and the others'
reports are stored past the wire by the same code. Every size is a fleet of its own.
"""

import time

from bench.driver import measure
from bench.processes import settle
from bench.systems import Rollcall

PROGRAMS = ["rollcall-collector", "rollcall-bench"]
PACKAGES = []

SHORT, LONG, SMOKE = [1000, 3000, 10_000], [1000, 10_000, 50_000, 100_000, 500_000], [20, 40]
# Laptops whose samples are made; larger fleets have them again and again.
MODELS = 2000
# Reports that every laptop has stored before.
SEALED = 10
ROUND_S = 15


def run(bench):
    sizes = bench.size(SMOKE, SHORT, LONG)
    bench.results.parameters(sizes=sizes)
    if not bench.long:
        bench.results.note(f"the short form ends at {sizes[-1]:,} laptops; --long goes to 500,000")
    grown = []
    for devices in sizes:
        seen = at_size(bench, devices)
        grown.append(seen)
        bench.say(f"{devices:,} laptops: " + ", ".join(f"{name} {value:.3g}" for name, value in seen.items()))
        bench.clear()
    bench.results.put("sizes", grown)
    for name in grown[0]:
        if name != "devices":
            cells = {f"{seen['devices']:,}": seen[name] for seen in grown}
            bench.results.row(name.replace("_", " "), **cells)


def at_size(bench, devices):
    connected = min(devices, bench.descriptors - 1000, bench.size(20, 1000, 4000))
    each = max(bench.size(5, 20_000, 120_000) // connected // 5, 1) * 5
    like = min(devices, MODELS)
    past, _ = bench.series("past", like, SEALED, minutes_ago=each + 1, awake=True)
    file, _ = bench.series("now", connected, 1 + each, awake=True)
    system = bench.system(Rollcall)
    system.enrol(devices, connected)
    filled = system.fill(past, devices)
    on_disk = system.bytes_on_disk()
    system.start()
    idle = settled_memory(system)
    # A round of the rules comes every 15 s: a shorter look would see none.
    restful = {"rest_cpu_s_per_1000_laptops_hour": rest(system, devices)} if bench.long else {}
    load = system.driver(file, connected, reports_per_push=5, stored=SEALED)
    fed = measure(bench, system, load)
    counts = timed(lambda: system.get("/api/v1/summary"), bench.size(2, 20, 50))
    attention = timed(lambda: system.get("/api/v1/alerts?state=firing&page_size=100"), bench.size(2, 20, 50))
    system.kill()
    began = time.monotonic()
    system.start()
    return {
        "devices": devices, "connected": connected, "cpu_s_per_million": fed["cpu_s_per_million"],
        **restful, "ack_p99_ms_saturated": fed["ack_ms"]["p99"],
        "bytes_per_sample_sealed": on_disk / filled["samples"], "memory_kib_per_laptop": idle * 1e6 / 1024 / devices,
        "fleet_counts_ms": counts, "attention_ms": attention, "restart_s": time.monotonic() - began,
    }


def settled_memory(system):
    settle(system.process, 1, 10)
    return system.process.memory("Pss")


def rest(system, devices):
    """What the rules cost when nothing is sent: two rounds over the fleet."""
    before = system.process.cpu_s()
    time.sleep(2 * ROUND_S)
    return (system.process.cpu_s() - before) / (2 * ROUND_S) * 3600 / devices * 1000


def timed(ask, times):
    """The median, in milliseconds."""
    took = []
    for _ in range(times):
        began = time.monotonic()
        ask()
        took.append((time.monotonic() - began) * 1000)
    return sorted(took)[len(took) // 2]

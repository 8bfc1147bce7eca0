"""Processor time for a million samples, and samples a second, beside VictoriaMetrics and InfluxDB.

Laptops push their reports of 36 numbers each, one or five at a time, each laptop on a connection of
its own. Rollcall is measured whole: mutual TLS, durable before it acknowledges, rules running. The
others take the same samples without TLS and without waiting for their disk, as they are. What TLS
and durability cost Rollcall is measured beside it; gathered pushes are the cheapest for the others.
"""

from bench.driver import measure, settle_short
from bench.nosync import no_sync
from bench.results import median
from bench.systems import InfluxDb, Rollcall, VictoriaMetrics

PROGRAMS = ["rollcall-collector", "rollcall-bench"]
PACKAGES = ["victoria-metrics", "influxdb"]

# Laptops whose reports travel in one request where they are gathered, and how many send these.
GATHERED = {"gather": 250, "streams": 8}


class Pass:
    """One way to send, and what it is called in the table and in the keys."""

    def __init__(self, title, key, **load):
        self.title, self.key, self.load = title, key, load


ROLLCALL = [Pass("1 report a push", "_1_per_push", reports_per_push=1),
            Pass("5 reports a push", "", reports_per_push=5)]
VICTORIA = [Pass("1 report a push", "_1_per_push", reports_per_push=1, protocol="lines"),
            Pass("5 reports a push", "_lines", reports_per_push=5, protocol="lines"),
            Pass("5 reports a push, remote write", "_remote_write", reports_per_push=5, protocol="remote-write"),
            Pass("gathered, 1 report a push", "_gathered_1_per_push", reports_per_push=1, protocol="lines", **GATHERED),
            Pass("gathered, 5 reports a push", "_gathered", reports_per_push=5, protocol="lines", **GATHERED)]
INFLUX = [Pass("1 report a push", "_1_per_push", reports_per_push=1),
          Pass("5 reports a push", "", reports_per_push=5),
          Pass("gathered, 5 reports a push", "_gathered", reports_per_push=5, **GATHERED)]


def run(bench):
    devices, each = bench.size(40, 1000, 4000), bench.size(5, 30, 60)
    rounds = bench.size(1, 1, 3)
    bench.results.parameters(devices=devices, reports_each=each, numbers_in_a_report=36, rounds=rounds)
    most = max(len(ROLLCALL) + 1, len(VICTORIA), len(INFLUX))
    file, _ = bench.series("series", devices, 1 + each * rounds * most, awake=True)
    plan = Plan(bench, file, devices, each, rounds)
    plan.rollcall()
    plan.other(VictoriaMetrics, VICTORIA)
    plan.other(InfluxDb, INFLUX)
    tell(bench, plan.found)


class Plan:
    def __init__(self, bench, file, devices, each, rounds):
        self.bench, self.file, self.devices, self.each, self.rounds = bench, file, devices, each, rounds
        self.found = {}

    def rollcall(self):
        system = self.bench.system(Rollcall)
        system.enrol(self.devices, self.devices)
        system.start()
        self.passes(system, ROLLCALL)
        environment = no_sync(self.bench)
        if environment is None:
            self.bench.results.note("what durability costs was not measured: there is no C compiler")
        else:
            system.stop()
            system.start(environment)
            # Its slice of the samples comes after those of the passes before.
            without = Pass("without durability", "_no_fsync", reports_per_push=5)
            self.passes(system, [without], first=len(ROLLCALL) * self.rounds)
        system.delete()

    def other(self, kind, passes):
        if not self.bench.has(kind):
            return
        system = self.bench.system(kind)
        system.start()
        self.passes(system, passes)
        system.delete()

    def passes(self, system, passes, first=0):
        """Rounds over all ways, so that a slow minute of the machine hits each alike; then medians."""
        for turn in range(self.rounds):
            for at, one in enumerate(passes):
                start = 1 + (first + turn * len(passes) + at) * self.each
                command = system.driver(self.file, self.devices, **{"from": start},
                                        until=start + self.each, **one.load)
                seen = measure(self.bench, system, command, settle_short)
                self.bench.say(f"{system.title}, {one.title}: {seen['cpu_s_per_million']:.3g} s per million, "
                               f"{seen['samples_per_s']:,.0f} a second")
                self.found.setdefault(system.name + one.key, (one, []))[1].append(seen)


def tell(bench, found):
    results, cells, rates = bench.results, {}, {}
    for key, (one, seen) in found.items():
        cost = median([each["cpu_s_per_million"] for each in seen])
        rate = median([each["samples_per_s"] for each in seen])
        results.put(f"{key}_cpu_s_per_million", cost)
        results.put(f"{key}_samples_per_s", rate)
        system = key.split("_")[0]
        cells.setdefault(one.title, {})[system] = cost
        rates.setdefault(one.title, {})[system] = rate
        results.put(f"{key}_wire_bytes_per_sample", median([each["wire_bytes_per_sample"] for each in seen]))
    best_of_victoria(results)
    for title, row in cells.items():
        results.row(f"CPU s per million, {title}", **row)
    for title, row in rates.items():
        results.row(f"samples a second, {title}", **row)
    results.note("Rollcall: mutual TLS, durable before acknowledged, rules running. The others: no TLS, "
                 "no wait for the disk, no rules.")
    results.note("A rate is what the machine reached with the measuring program on the same cores; "
                 "processor time is the system's alone, until it has come to rest.")
    targets(results)


def best_of_victoria(results):
    """Its cheaper protocol stands for it."""
    here = results.here
    ways = [here[key] for key in ("victoriametrics_lines_cpu_s_per_million",
                                  "victoriametrics_remote_write_cpu_s_per_million") if key in here]
    if ways:
        results.put("victoriametrics_cpu_s_per_million", min(ways))


def targets(results):
    here = results.here
    own = here["rollcall_cpu_s_per_million"]
    for name, key in [("pushes of the laptops themselves, 5 reports each", "victoriametrics_cpu_s_per_million"),
                      ("pushes of the laptops themselves, 1 report each",
                       "victoriametrics_1_per_push_cpu_s_per_million"),
                      ("gathered pushes, its cheapest", "victoriametrics_gathered_cpu_s_per_million")]:
        theirs = here.get(key)
        if theirs is None:
            continue
        ours = here["rollcall_1_per_push_cpu_s_per_million"] if "1 report" in name else own
        results.target(f"at most VictoriaMetrics' processor time, {name}", ours <= theirs,
                       f"{ours:.3g} against {theirs:.3g} s per million samples")

"""Processor time for a million samples, and samples a second, beside VictoriaMetrics and InfluxDB.

Laptops push their reports of 36 numbers each, one or five at a time, each laptop on a connection of
its own. Rollcall is measured whole: mutual TLS, durable before it acknowledges, rules running, and
sealing, which it puts off, counted too. The others take the same samples without TLS and without
waiting for their disk, as they are; gathered pushes are the cheapest way for them.
"""

import time

from bench.driver import Driver, measure
from bench.nosync import no_sync
from bench.results import median
from bench.systems import InfluxDb, Rollcall, VictoriaMetrics

PROGRAMS = ["rollcall-collector", "rollcall-bench"]
PACKAGES = ["victoria-metrics", "influxdb"]

# Laptops whose reports travel in one request where they are gathered, and how many send these.
GATHERED = {"gather": 250, "streams": 8}

# How long silence is listened to, and beside a collector that has hardly any laptops: what it does for
# itself is no laptop's.
REST_S = 8
HARDLY_ANY = 10


class Pass:
    """One way to send, and what it is called in the table and in the keys."""

    def __init__(self, system, title, key, environment=None, **load):
        self.system, self.title, self.key = system, title, system.name + key
        self.environment, self.load = environment, load


def passes(bench):
    one, five = "laptops push 1 report", "laptops push 5 reports"
    made = [Pass(Rollcall, five, "", reports_per_push=5),
            Pass(VictoriaMetrics, five, "_lines", reports_per_push=5, protocol="lines"),
            Pass(VictoriaMetrics, five + ", remote write", "_remote_write",
                 reports_per_push=5, protocol="remote-write"),
            Pass(InfluxDb, five, "", reports_per_push=5),
            Pass(Rollcall, one, "_1_per_push", reports_per_push=1),
            Pass(VictoriaMetrics, one, "_1_per_push", reports_per_push=1, protocol="lines"),
            Pass(VictoriaMetrics, "250 laptops gathered, 5 reports", "_gathered",
                 reports_per_push=5, protocol="lines", **GATHERED),
            Pass(InfluxDb, "250 laptops gathered, 5 reports", "_gathered", reports_per_push=5, **GATHERED)]
    if bench.long:
        made.append(Pass(InfluxDb, one, "_1_per_push", reports_per_push=1))
    environment = no_sync(bench)
    if environment:
        made.append(Pass(Rollcall, five + ", syncs switched off", "_no_fsync", environment, reports_per_push=5))
    else:
        bench.results.note("what durability costs was not measured: there is no C compiler")
    return [one for one in made if one.system is Rollcall or bench.has(one.system)]


def run(bench):
    devices, each = bench.size(40, 1000, 4000), bench.size(5, 20, 60)
    rounds = bench.size(1, 1, 3)
    bench.results.parameters(devices=devices, reports_each=each, numbers_in_a_report=36, rounds=rounds)
    file, _ = bench.series("series", devices, 1 + each, awake=True)
    ways, found = passes(bench), {}
    # Rounds over all ways, so that a slow minute of the machine hits each alike; then medians.
    for _ in range(rounds):
        for way in ways:
            seen = fed(bench, way, file, devices)
            bench.say(f"{way.system.title}, {way.title}: {seen['cpu_s_per_million']:.3g} s per million, "
                      f"{seen['samples_per_s']:,.0f} a second")
            found.setdefault(way.key, (way, []))[1].append(seen)
    tell(bench, found)
    rest(bench, file, devices)
    targets(bench.results)


def fed(bench, way, file, devices):
    """A system of its own for each way to send: none has to clear up after another. Every laptop's
    first report comes before it is measured, so that series are known and caches filled."""
    system = bench.system(way.system, way.key)
    if way.system is Rollcall:
        system.enrol(devices, devices)
    system.start(way.environment)
    seen = measure(bench, system, system.driver(file, devices, **way.load))
    if way.system is Rollcall:
        system.stop()
        sealed = system.seal()["seal_cpu_s"]
        seen["seal_cpu_s_per_million"] = sealed / seen["samples"] * 1e6
        seen["cpu_s_per_million"] += seen["seal_cpu_s_per_million"]
    system.delete()
    return seen


def tell(bench, found):
    results, costs, rates = bench.results, {}, {}
    for key, (way, seen) in found.items():
        middle = {name: median([each[name] for each in seen])
                  for name in ("cpu_s_per_million", "samples_per_s", "wire_bytes_per_sample")}
        for name, value in middle.items():
            results.put(f"{key}_{name}", value)
        if "seal_cpu_s_per_million" in seen[0]:
            sealing = median([each["seal_cpu_s_per_million"] for each in seen])
            results.put(f"{key}_seal_cpu_s_per_million", sealing)
        costs.setdefault(way.title, {})[way.system.name] = middle["cpu_s_per_million"]
        rates.setdefault(way.title, {})[way.system.name] = middle["samples_per_s"]
    best_of_victoria(results)
    for title, row in costs.items():
        results.row(f"CPU s per million samples, {title}", **row)
    for title, row in rates.items():
        results.row(f"samples a second, {title}", **row)
    results.note("Rollcall: mutual TLS, durable before acknowledged, rules running, sealing included. "
                 "The others: no TLS, no wait for the disk, no rules; merges that they put off for longer "
                 "than some seconds are not in their figures.")
    results.note("A rate is what this machine reached with the measuring program on the same cores; "
                 "processor time is the system's alone.")


def best_of_victoria(results):
    """Its cheaper protocol stands for it."""
    ways = [results.here[key] for key in ("victoriametrics_lines_cpu_s_per_million",
                                          "victoriametrics_remote_write_cpu_s_per_million")
            if key in results.here]
    if ways:
        results.put("victoriametrics_cpu_s_per_million", min(ways))


def rest(bench, file, devices):
    """What connected laptops cost that send nothing: what time alone makes the rules look at."""
    few = min(devices, HARDLY_ANY)
    alone, all_of_them = [resting(bench, file, count) for count in (few, devices)]
    # What the collector does for itself is the same in both.
    of_laptops = max(all_of_them - alone, 0) / max(devices - few, 1) * 1000
    # A laptop sends 60 reports of 36 numbers in an hour.
    a_million = of_laptops / (60 * 36 * 1000) * 1e6
    results = bench.results
    results.put("rollcall_rest_cpu_s_per_hour", alone)
    results.put("rollcall_rest_cpu_s_per_1000_laptops_hour", of_laptops)
    results.put("rollcall_cpu_s_per_million_with_rest", results.here["rollcall_cpu_s_per_million"] + a_million)
    results.row(f"CPU s an hour of a collector with {few} silent laptops", rollcall=alone)
    results.row("CPU s an hour more for each 1,000 laptops that are connected and silent", rollcall=of_laptops)
    results.row("the same as CPU s per million samples, at a report a minute", rollcall=a_million)


def resting(bench, file, devices):
    """Processor seconds an hour with so many silent laptops."""
    system = bench.system(Rollcall, f"rest-{devices}")
    system.enrol(devices, devices)
    system.start()
    driver = Driver(bench, system.driver(file, devices))
    time.sleep(bench.size(0, 2, 5))
    seconds = bench.size(1, REST_S, 4 * REST_S)
    before = system.process.cpu_s()
    time.sleep(seconds)
    used = system.process.cpu_s() - before
    driver.end()
    system.delete()
    return used / seconds * 3600


def targets(results):
    here = results.here
    own, single = here["rollcall_cpu_s_per_million"], here["rollcall_1_per_push_cpu_s_per_million"]
    pairs = [("laptops push 5 reports", own, "victoriametrics_cpu_s_per_million"),
             ("laptops push 1 report", single, "victoriametrics_1_per_push_cpu_s_per_million"),
             ("5 reports, against gathered pushes, its cheapest", own,
              "victoriametrics_gathered_cpu_s_per_million"),
             ("5 reports, silent laptops' rules included", here["rollcall_cpu_s_per_million_with_rest"],
              "victoriametrics_cpu_s_per_million")]
    for name, ours, key in pairs:
        theirs = here.get(key)
        found = f"{ours:.3g} against {theirs:.3g} s per million" if theirs is not None else "nothing to compare"
        results.target(f"at most VictoriaMetrics' processor time, {name}",
                       None if theirs is None else ours <= theirs, found)

"""Time to answer under full ingest: attention, fleet, counts, a laptop's month and year, beside VictoriaMetrics.

Both answer the same questions over HTTP with one kept connection, while laptops push at full load
(8,333 reports a second) as in `ack`. The fleet is as large as the parameters say.
"""

import time

from bench.driver import Driver
from bench.systems import Rollcall, VictoriaMetrics

PROGRAMS = ["rollcall-collector", "rollcall-bench"]
PACKAGES = ["victoria-metrics"]

FASTER = 10
FULL = 8333
MONTH, YEAR = 30, 365
FLEET_QUESTIONS = ["attention", "fleet_page", "fleet_counts"]


def run(bench):
    fleets = bench.size([50], [10_000], [10_000, 50_000, 100_000])
    for devices in fleets:
        suffix = "" if devices == fleets[0] else f"_{devices}"
        at_size(bench, devices, suffix)
        bench.clear()


def at_size(bench, devices, suffix):
    senders = min(devices, bench.size(50, 1000, 4000))
    seconds, rate = bench.size(1, 6, 30), bench.size(200, FULL, FULL)
    each = -(-rate * seconds // senders // 5) * 5
    month = bench.size(2, MONTH, MONTH)
    year = bench.size(0, 0, YEAR) if devices == bench.size(50, 10_000, 10_000) else 0
    bench.results.parameters(**{f"devices{suffix}": devices}, load_reports_per_s=rate, senders=senders)
    # All laptops with their latest report; the first also with a long past; then what senders push.
    files = {"fleet": bench.series("fleet", devices, 1, minutes_ago=each, awake=True)[0],
             "past": bench.series("past", 1, max(month, year) * 1440, minutes_ago=each + 1)[0],
             "load": bench.series("load", senders, 1 + each, awake=True)[0]}
    found = {"rollcall": of_rollcall(bench, files, devices, senders, rate, seconds, month, year)}
    if bench.has(VictoriaMetrics):
        found["victoriametrics"] = of_victoria(bench, files, devices, senders, rate, seconds, month, year)
    tell(bench, found, devices, suffix)


def of_rollcall(bench, files, devices, senders, rate, seconds, month, year):
    system = bench.system(Rollcall)
    system.enrol(devices, senders)
    first = max(month, year) * 1440
    system.fill(files["past"], 1, merge=True)
    system.fill(files["fleet"], devices, first_sequence=first + 1)
    system.start()
    device = system.first_laptop()

    def laptop(days):
        system.history(device, days, 500)

    questions = {
        "attention": lambda: system.get("/api/v1/alerts?state=firing&page_size=100"),
        "fleet_page": lambda: system.get("/api/v1/devices?page_size=100"),
        "fleet_counts": lambda: system.get("/api/v1/summary"),
        "laptop_30_days": lambda: laptop(month),
    }
    if year:
        questions["laptop_1_year"] = lambda: laptop(year)
    return under_load(bench, system, files["load"], senders, rate, seconds, questions, stored=first + 1)


def of_victoria(bench, files, devices, senders, rate, seconds, month, year):
    system = bench.system(VictoriaMetrics)
    system.start()
    for name, count, each in [("past", 1, 600), ("fleet", devices, 1)]:
        load = Driver(bench, system.driver(files[name], count, **{"from": 1}, reports_per_push=each,
                                           gather=250, streams=4))
        load.go()
        load.hear()
        load.end()
    system.flush()

    def laptop(days):
        now = int(time.time())
        system.query_range('{device="laptop-000000"}', now - days * 86400, now, days * 86400 // 500)

    metric, worn = "rollcall_hw_battery_health_BAT0", 0.6
    questions = {
        # Its nearest: every battery below the line, as the rule of worn batteries says it.
        "attention": lambda: system.query(f"last_over_time({metric}[1h]) < {worn}"),
        # A page of laptops with a figure each.
        "fleet_page": lambda: system.query(f"limitk(100, last_over_time({metric}[1h]))"),
        # How many laptops there are, by site.
        "fleet_counts": lambda: system.query(
            "count(last_over_time(rollcall_system_cpu_utilization[1h])) by (site)"),
        "laptop_30_days": lambda: laptop(month),
    }
    if year:
        questions["laptop_1_year"] = lambda: laptop(year)
    return under_load(bench, system, files["load"], senders, rate, seconds, questions)


def under_load(bench, system, file, senders, rate, seconds, questions, **more):
    """Each question again and again while the load lasts: first those about the fleet in turns, then,
    for the last third, those about a laptop, which may take long."""
    driver = Driver(bench, system.driver(file, senders, reports_per_push=5, rate=rate, **more))
    for ask in questions.values():
        ask()
    driver.go()
    began = time.monotonic()
    took = in_turns({name: questions[name] for name in FLEET_QUESTIONS}, began + seconds * 2 / 3)
    took |= in_turns({name: ask for name, ask in questions.items() if name not in took}, began + seconds)
    driver.hear()
    driver.end()
    return {name: percentiles(values) for name, values in took.items()}


def in_turns(questions, deadline):
    took = {name: [] for name in questions}
    while time.monotonic() < deadline or not all(took.values()):
        for name, ask in questions.items():
            began = time.monotonic()
            ask()
            took[name].append((time.monotonic() - began) * 1000)
    return took


def percentiles(values):
    ordered = sorted(values)
    at = lambda share: ordered[min(int(len(ordered) * share), len(ordered) - 1)]  # noqa: E731
    return {"p50_ms": at(0.5), "p99_ms": at(0.99), "count": len(ordered)}


def tell(bench, found, devices, suffix):
    results = bench.results
    for name, answers in found.items():
        for question, times in answers.items():
            results.put(f"{name}_{question}{suffix}_p50_ms", times["p50_ms"])
            results.put(f"{name}_{question}{suffix}_p99_ms", times["p99_ms"])
    for question in found["rollcall"]:
        cells = {name: f"{answers[question]['p50_ms']:.3g} / {answers[question]['p99_ms']:.3g}"
                 for name, answers in found.items()}
        results.row(f"{devices:,} laptops, {question.replace('_', ' ')}: p50 / p99 ms", **cells)
    if not suffix:
        results.note("a laptop's days: all 36 series in one request, of at most 500 points each; Rollcall gives least, "
                     "mean, greatest and last value of each stretch, VictoriaMetrics the last")
    theirs = found.get("victoriametrics")
    for question in FLEET_QUESTIONS:
        ours = found["rollcall"][question]["p50_ms"]
        if theirs:
            other = theirs[question]["p50_ms"]
            results.target(f"{question.replace('_', ' ')} at {devices:,} laptops at least {FASTER} times as fast as "
                           "VictoriaMetrics", ours * FASTER <= other, f"{ours:.3g} against {other:.3g} ms")

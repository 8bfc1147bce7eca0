"""Seconds from kill -9 to serving again, with the history and the unsealed log that a kill leaves.

Every laptop has a history on disk and reports that were acknowledged and not yet sealed. The clock
runs from the start of the new process until it answers on its web port with everything loaded.
"""

import time

from bench.driver import Driver
from bench.results import median
from bench.systems import Rollcall, VictoriaMetrics

PROGRAMS = ["rollcall-collector", "rollcall-bench"]
PACKAGES = ["victoria-metrics"]

TARGET_S = 10
PLANNED = 100_000
UNSEALED = 10
# A laptop's day has ten hours with the lid open.
DAY_HOURS = 10


def run(bench):
    devices, hours = bench.size(40, 2000, 100_000), bench.size(0.1, 0.5, DAY_HOURS)
    connected = min(devices, bench.descriptors - 1000, bench.size(40, 1000, 5000))
    sealed = max(int(hours * 60), 1)
    bench.results.parameters(devices=devices, sealed_reports_each=sealed, unsealed_reports_each=UNSEALED,
                             connected=connected)
    is_planned = devices >= PLANNED and hours >= DAY_HOURS
    if not is_planned:
        bench.results.note(f"{devices:,} laptops with {sealed} sealed reports each stand for the day of 100,000 "
                           "of the capacity plan; `growth` shows how it grows with laptops")
    alike = min(devices, bench.size(40, 2000, 2000))
    history, _ = bench.series("history", alike, sealed, minutes_ago=UNSEALED + 1, awake=True)
    late, _ = bench.series("late", alike, UNSEALED, awake=True)
    system = bench.system(Rollcall)
    system.enrol(devices, connected)
    system.fill(history, devices)
    system.fill(late, devices, first_sequence=sealed + 1, seal=False)
    ours = [killed_and_back(system) for _ in range(bench.size(1, 3, 3))]
    cells = {"rollcall": median(ours)}
    bench.results.put("rollcall_restart_s", cells["rollcall"])
    bench.results.put("rollcall_restart_memory_mb", system.process.memory("Pss"))
    if devices == alike and bench.has(VictoriaMetrics):
        cells["victoriametrics"] = of_victoria(bench, [history, late], devices)
        bench.results.put("victoriametrics_restart_s", cells["victoriametrics"])
    bench.results.row("seconds from kill -9 to serving", **cells)
    bench.results.row("MB of memory then", rollcall=bench.results.here["rollcall_restart_memory_mb"])
    # A small fleet can miss the target, and cannot meet it.
    met = cells["rollcall"] < TARGET_S and (is_planned or None)
    bench.results.target(f"under {TARGET_S} s with a day of {PLANNED:,} laptops", met,
                         f"{cells['rollcall']:.2f} s with {devices:,} laptops")


def killed_and_back(system):
    if not system.process:
        system.start()
    system.kill()
    began = time.monotonic()
    system.start()
    return time.monotonic() - began


def of_victoria(bench, files, devices):
    system = bench.system(VictoriaMetrics)
    system.start()
    for file in files:
        driver = Driver(bench, system.driver(file, devices, reports_per_push=5, gather=250, streams=4))
        driver.go()
        driver.hear()
        driver.end()
    system.flush()
    return killed_and_back(system)

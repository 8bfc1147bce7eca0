"""Memory for each connected laptop that says nothing, and what comes back when all have gone."""

import os
import time

from bench.driver import Driver
from bench.processes import wait_for
from bench.systems import Rollcall

PROGRAMS = ["rollcall-collector", "rollcall-bench"]
PACKAGES = []

TARGET_KIB = 16
DISTRICT = 500_000


def run(bench):
    wanted = bench.size(40, 2000, 100_000)
    count = min(wanted, bench.descriptors - 1000)
    bench.results.parameters(connections=count)
    if count < wanted:
        bench.results.note(f"{count:,} connections instead of {wanted:,}: this machine allows "
                           f"{bench.descriptors:,} open files to a process; the rest is extrapolated")
    file, _ = bench.series("series", 1, 1, awake=True)
    system = bench.system(Rollcall)
    system.enrol(count, count)
    system.start()
    before = settled_pss(system)
    began = system.process.cpu_s()
    driver = Driver(bench, [*system.driver(file, count), "--idle"])
    connect = (system.process.cpu_s() - began) / count
    full = settled_pss(system)
    driver.end()
    wait_for(60, "the connections to end", lambda: open_sockets(system) < 20 + count // 50, system.process)
    time.sleep(bench.size(0, 2, 10))
    after = settled_pss(system)
    tell(bench, count, before, full, after, connect)


def tell(bench, count, before, full, after, connect):
    results = bench.results
    each_kib = (full - before) * 1e6 / 1024 / count
    kept = (after - before) / max(full - before, 1e-9)
    results.put("rollcall_kib_per_connection", each_kib)
    results.put("rollcall_pss_mb_before", before)
    results.put("rollcall_pss_mb_connected", full)
    results.put("rollcall_pss_mb_after", after)
    results.put("rollcall_cpu_ms_per_connection", connect * 1000)
    results.row("KiB for each connected laptop", rollcall=each_kib)
    results.row("MB before / with all / after all have gone", rollcall=f"{before:.0f} / {full:.0f} / {after:.0f}")
    results.row("share kept after all have gone", rollcall=f"{kept:.0%}")
    results.row("processor ms for a connection with handshake, Hello and Welcome", rollcall=connect * 1000)
    results.row(f"GiB for {DISTRICT:,} laptops, extrapolated", rollcall=each_kib * DISTRICT / 1024 ** 2)
    results.note("proportional memory (PSS) of the collector's process; what the kernel keeps for a socket "
                 "comes on top")
    results.target(f"at most {TARGET_KIB} KiB for each connected laptop", each_kib <= TARGET_KIB, f"{each_kib:.1f} KiB")
    results.target("memory comes back after all have gone (less than a tenth kept)", kept < 0.1, f"{kept:.0%} kept")


def settled_pss(system):
    """The memory once it has stopped to move."""
    last = None
    for _ in range(20):
        now = system.process.memory("Pss")
        if last is not None and abs(now - last) < 0.2:
            break
        last = now
        time.sleep(0.3)
    return now


def open_sockets(system):
    return len(os.listdir(f"/proc/{system.process.pid}/fd"))

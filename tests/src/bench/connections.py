"""Memory for each connected laptop, what a message on an idle one costs, and the morning's reconnect.

A morning: every laptop connects at the same moment with sixteen hours of reports in its spool, a report
a minute with all of its 36 numbers (an agent keeps changes only, and none while it sleeps), and obeys
the credit that it is given. Once with full handshakes, and once resuming what was agreed the day before.
"""

import os
import time

from bench.driver import Driver, measure
from bench.processes import wait_for
from bench.systems import Rollcall

PROGRAMS = ["rollcall-collector", "rollcall-bench"]
PACKAGES = []

TARGET_KIB = 16
DISTRICT = 500_000
NIGHT = 16 * 60
HUNDRED_THOUSAND = 100_000


def run(bench):
    wanted = bench.size(40, 2000, 100_000)
    count = min(wanted, bench.descriptors - 1000)
    bench.results.parameters(connections=count)
    if count < wanted:
        bench.results.note(f"{count:,} connections instead of {wanted:,}: this machine allows "
                           f"{bench.descriptors:,} open files to a process; the rest is extrapolated")
    file, _ = bench.series("series", min(count, 1000), 3, awake=True)
    system = bench.system(Rollcall)
    system.enrol(count, count)
    system.start()
    before = settled_pss(system)
    full, known, connect = visit(bench, system, file, count)
    # What the collector knows of a laptop once it has been there stays, and is no leak: that of a second
    # visit must go.
    _, after, _ = visit(bench, system, file, count)
    tell(bench, count, (before, full, known, after), connect)
    messages(bench, system, file, min(count, 1000))
    storm(bench, system, file, min(count, 1000))
    bench.clear()
    mornings(bench)


def visit(bench, system, file, count):
    """All laptops come, stay silent and go: memory with all of them, memory after, and the processor time
    of each connection."""
    began = system.process.cpu_s()
    driver = Driver(bench, [*system.driver(file, count), "--idle"])
    connect = (system.process.cpu_s() - began) / count
    full = settled_pss(system)
    driver.end()
    wait_for(60, "the connections to end", lambda: open_sockets(system) < 20 + count // 50, system.process)
    # The allocator gives back what was free for a second.
    time.sleep(bench.size(0, 4, 10))
    return full, settled_pss(system), connect


def messages(bench, system, file, count):
    """One message in flight on each of many connections that say little."""
    seen = measure(bench, system, system.driver(file, count, reports_per_push=1, rate=count / 2))
    sent = 2 * count
    each = seen["cpu_s"] / sent * 1e6
    bench.results.put("rollcall_cpu_us_per_message_on_idle_connections", each)
    bench.results.row("processor microseconds for a message of one report, durable, on a connection that "
                      "says one in two seconds", rollcall=each)


def storm(bench, system, file, count):
    """Connections alone: what a handshake costs, in full and resumed."""
    for name, resume in [("full", False), ("resumed", True)]:
        # The first report is stored, and none is sent.
        seen = measure(bench, system, system.morning(file, count, resume=resume, until=1, stored=1), samples=1)
        each = seen["cpu_s"] / count * 1000
        bench.results.put(f"rollcall_cpu_ms_per_{name}_connection", each)
        bench.results.row(f"processor ms for a connection at once with {count - 1:,} others, {name}",
                          rollcall=each)
        if resume and seen["resumed"] < count:
            bench.results.note(f"{count - seen['resumed']:,} of {count:,} connections were not resumed")


def mornings(bench):
    """Every laptop at once, with the reports of a night."""
    laptops, night = bench.size(10, 100, 1000), bench.size(20, NIGHT, NIGHT)
    bench.results.parameters(morning_laptops=laptops, morning_reports_each=night)
    file, _ = bench.series("night", laptops, night + 1, awake=True)
    for name, resume in [("full", False), ("resumed", True)]:
        system = bench.system(Rollcall, "_morning")
        system.enrol(laptops, laptops)
        system.start()
        seen = measure(bench, system, system.morning(file, laptops, resume=resume), samples=laptops * night * 36)
        tell_morning(bench, name, laptops, seen)
        bench.clear_systems()
    results = bench.results
    results.note(f"seconds for {HUNDRED_THOUSAND:,} laptops are those of {laptops:,} times "
                 f"{HUNDRED_THOUSAND / laptops:,.0f}: the collector was busy throughout, and so was the measuring "
                 "program on the same processors")


def tell_morning(bench, name, laptops, seen):
    results, took = bench.results, seen["laptop_ms"]
    times = HUNDRED_THOUSAND / laptops
    results.put(f"rollcall_morning_{name}_s_per_100000", seen["seconds"] * times)
    results.put(f"rollcall_morning_{name}_cpu_s_per_100000", seen["cpu_s"] * times)
    for part in ("p50", "p99", "max"):
        results.put(f"rollcall_morning_{name}_laptop_{part}_s", took[part] / 1000)
    results.put(f"rollcall_morning_{name}_slow_downs", seen["slowed"])
    results.row(f"a morning of {laptops:,} laptops, {name} handshakes: s until the median / slowest laptop is done",
                rollcall=f"{took['p50'] / 1000:.1f} / {took['max'] / 1000:.1f}")
    results.row(f"the same: processor s, and s in all, for {HUNDRED_THOUSAND:,}",
                rollcall=f"{seen['cpu_s'] * times:,.0f} / {seen['seconds'] * times:,.0f}")


def tell(bench, count, memory, connect):
    results, (before, full, known, after) = bench.results, memory
    each_kib = (full - before) * 1e6 / 1024 / count
    kept = max(after - known, 0) / max(full - before, 1e-9)
    results.put("rollcall_kib_known_of_a_laptop", (known - before) * 1e6 / 1024 / count)
    results.put("rollcall_kib_per_connection", each_kib)
    results.put("rollcall_pss_mb_before", before)
    results.put("rollcall_pss_mb_connected", full)
    results.put("rollcall_pss_mb_after", after)
    results.put("rollcall_cpu_ms_per_connection", connect * 1000)
    results.row("KiB for each connected laptop", rollcall=each_kib)
    results.row("MB before / with all / after all have gone / after all have come and gone again",
                rollcall=f"{before:.0f} / {full:.0f} / {known:.0f} / {after:.0f}")
    results.row("share kept of a second visit", rollcall=f"{kept:.0%}")
    results.row("KiB more for a laptop that was there once and has gone", rollcall=results.here["rollcall_kib_known_of_a_laptop"])
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

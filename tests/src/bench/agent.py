"""What the agent takes of a laptop, beside other agents: memory, processor, wake-ups, bytes sent, disk."""

import os
import pathlib
import shutil
import subprocess

from bench import footprint

PROGRAMS = ["rollcall-collector", "rollcall-bench"]
PACKAGES = ["collectd-core", "zabbix-agent2", "prometheus-node-exporter", "iproute2", "openssl"]

# What the agent promises, with every probe on at its default interval, on an ordinary school day.
TARGETS = {
    "pss_mb": 4.0,
    "cpu_s_per_hour": 0.3,
    "wakeups_per_minute": 12,
    "wire_bytes_per_day": 100_000,
    "disk_write_bytes_per_day": 5_000_000,
    "binary_mb": 6.0,
}


def run(bench):
    window_s = bench.size(5, 45, 900)
    bench.results.parameters(window_s=window_s, real_time=bench.long)
    try:
        found = footprint.measure(agent(bench), bench.binaries / "rollcall-collector",
                                  bench.binaries / "rollcall-bench", bench.folder / "laptop", window_s, bench.long, bench.say)
    except (RuntimeError, OSError) as reason:
        bench.results.put("not_measured", str(reason))
        bench.results.note(f"not measured: {reason}")
        return
    for name, figures in found.items():
        bench.results.put(name, figures)
    for figure in TARGETS:
        cells = {name: figures[figure] for name, figures in found.items() if figure in figures}
        bench.results.row(figure, **cells)
    for name in ("rollcall_agent", "rollcall_agent_offline", "rollcall_agent_month_offline"):
        for figure, most in TARGETS.items():
            value = found[name][figure]
            bench.results.target(f"{name}: {figure} at most {most}", value <= most, value)
    tell_how(bench, found["rollcall_agent"])


def tell_how(bench, ours):
    bench.results.note(f"a window of {ours['window_s']} s, in which our agent does what it does in "
                       f"{ours['hours_in_window']} hours; the others run at their own pace, once a minute")
    bench.results.note(f"a day of our agent is {ours['hours_of_day']} hours with the lid open, one of the others 24; "
                       "its collector, and theirs, is real or speaks their protocol")
    bench.results.note(f"trying {len(footprint.TARGETS)} learning platforms every five minutes is not in "
                       f"wire_bytes_per_day; it takes {ours['reachability_bytes_per_day']} bytes a day")


def agent(bench):
    """The agent as it is installed on laptops, built for size."""
    given = os.environ.get("ROLLCALL_BENCH_BINARIES")
    if given:
        return pathlib.Path(given).resolve() / "rollcall-agent"
    bench.say("building the agent for size (some minutes the first time)")
    cargo = shutil.which("cargo") or str(pathlib.Path.home() / ".cargo/bin/cargo")
    command = [cargo, "build", "--locked", "--profile", "agent", "-p", "rollcall-agent"]
    if subprocess.run(command, cwd=footprint.REPOSITORY).returncode != 0:
        raise RuntimeError("the agent's build failed; see above")
    return bench.binaries.parent / "agent" / "rollcall-agent"

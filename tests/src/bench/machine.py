"""The machine that figures come from."""

import os
import pathlib
import platform
import shutil

from bench.packages import is_installed, version_of

PACKAGES = ["victoria-metrics", "influxdb", "prometheus", "collectd-core", "zabbix-agent2",
            "prometheus-node-exporter"]


def describe_machine():
    return {
        "cpu": cpu(), "cores": os.cpu_count(), "memory_gib": round(memory_kb() / 1024 ** 2, 1),
        "kernel": platform.release(), "system": system(), "load_before": round(os.getloadavg()[0], 2),
        "disk": disk(), "versions": versions(),
    }


def cpu():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def memory_kb():
    line = next(line for line in pathlib.Path("/proc/meminfo").read_text().splitlines()
                if line.startswith("MemTotal"))
    return int(line.split()[1])


def system():
    try:
        lines = pathlib.Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return platform.system()
    return next((line.partition("=")[2].strip('"') for line in lines if line.startswith("PRETTY_NAME")), "")


def disk():
    """The file system of the temporary folder, on which everything runs."""
    folder = os.path.realpath(os.environ.get("TMPDIR", "/tmp"))
    mounts = [line.split()[:3] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    _, point, kind = max((mount for mount in mounts if folder.startswith(mount[1])), key=lambda m: len(m[1]))
    return f"{kind} at {point}, {shutil.disk_usage(folder).free / 1e9:.0f} GB free"


def versions():
    found = {name: version_of(name) for name in PACKAGES if is_installed(name)}
    return {"python": platform.python_version(), **found}

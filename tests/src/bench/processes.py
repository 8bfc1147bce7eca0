"""Processes that are measured: started with the bench, counted by the kernel, ended with the bench."""

import ctypes
import os
import pathlib
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
STOP_S = 30
LIBC = ctypes.CDLL(None)


class Stop(Exception):
    """A reason to leave, for a person to read."""


class Process:
    """A program under test, or one that tests it."""

    every = []

    def __init__(self, name, command, logs, environment=None, **options):
        self.name, self.log = name, logs / f"{name}.log"
        with open(self.log, "ab") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **options}
            self.child = subprocess.Popen(
                [str(part) for part in command], start_new_session=True, preexec_fn=end_with_parent,
                env={**os.environ, "NO_COLOR": "1", **(environment or {})}, **streams)
        self.pid = self.child.pid
        Process.every.append(self)

    def check(self):
        if self.child.poll() is not None:
            raise Stop(f"{self.name} ended by itself with {self.child.returncode}; the end of its log:\n"
                       + tail(self.log))

    def stop(self):
        """Ends it as its service would be ended."""
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        self.child.kill()
        self.child.wait()

    def cpu_s(self):
        """Seconds of processor time, user and system, of the process and all it has started."""
        return sum(cpu_s(pid) for pid in tree(self.pid))

    def memory_mb(self):
        """Resident and proportional memory of the process and all it has started, in 10^6 bytes."""
        return {"rss_mb": self.memory("Rss"), "pss_mb": self.memory("Pss")}

    def memory(self, what):
        return sum(rollup(pid).get(what, 0) for pid in tree(self.pid)) * 1024 / 1e6

    @classmethod
    def stop_all(cls):
        for process in reversed(cls.every):
            process.stop()
        cls.every.clear()


def cpu_s(pid):
    """By the process's own clock, which counts nanoseconds; what has ended of its children is known by
    ticks of 10 ms only."""
    fields = stat(pid)
    if not fields:
        return 0.0
    try:
        # The clock of another process, as clock_getcpuclockid(3) makes its number.
        own = time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0
    # cutime and cstime: fields 16 and 17 of proc(5).
    return own + sum(int(field) for field in fields[13:15]) / TICKS


def stat(pid):
    """The fields after the command's name, from the third on."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ProcessLookupError):
        return None


def tree(pid):
    """The process and its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        fields = stat(entry) if entry.isdigit() else None
        if fields:
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, ahead = [], [pid]
    while ahead:
        found.append(ahead.pop())
        ahead += children.get(found[-1], [])
    return found


def rollup(pid):
    """Kilobytes by name."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def end_with_parent():
    """In a child, before it runs: it gets SIGTERM when the bench dies, however it dies."""
    set_parent_death_signal = 1
    LIBC.prctl(set_parent_death_signal, signal.SIGTERM)


def settle(process, quiet_s, limit_s):
    """Waits until what was fed is also merged and sealed: until the process has used less than a
    tenth of a processor for a while. What it uses until then belongs to what it was fed."""
    deadline = time.monotonic() + limit_s
    quiet_since, last = time.monotonic(), process.cpu_s()
    while time.monotonic() < deadline and time.monotonic() - quiet_since < quiet_s:
        time.sleep(0.25)
        process.check()
        now = process.cpu_s()
        if now - last > 0.025:
            quiet_since = time.monotonic()
        last = now


def disk_bytes(folder):
    """What the files of a folder take on disk, as du counts."""
    seen, total = set(), 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(os.path.join(place, name))
            except OSError:
                continue
            # A hard link takes its room once.
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
    return total


def tail(file, lines=15):
    try:
        return "\n".join("  " + line for line in file.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def wait_for(seconds, what, probe, process=None):
    deadline = time.monotonic() + seconds
    reason = "no answer"
    while time.monotonic() < deadline:
        if process:
            process.check()
        try:
            answer = probe()
            if answer:
                return answer
        except (OSError, ValueError, KeyError) as error:
            reason = str(error)
        time.sleep(0.02)
    raise Stop(f"waited {seconds} s in vain for {what} ({reason})"
               + (f"; the end of its log:\n{tail(process.log)}" if process else ""))

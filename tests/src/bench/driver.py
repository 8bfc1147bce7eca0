"""The measuring program `rollcall-bench`: what it says and hears while a system is measured."""

import json
import subprocess
import time

from bench.processes import Process, Stop, tail


class Driver:
    """A run of it. It makes everything ready, waits, sends, and says what it saw."""

    def __init__(self, bench, command):
        self.process = Process("driver", [bench.binaries / "rollcall-bench", *command], bench.logs,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ready = self.hear()

    def go(self):
        """Begins to send; `hear` waits for the end."""
        self.process.child.stdin.write(b"go\n")
        self.process.child.stdin.flush()

    def hear(self):
        line = self.process.child.stdout.readline()
        if not line:
            self.process.child.wait()
            raise Stop("the measuring program failed:\n" + tail(self.process.log))
        return json.loads(line)

    def end(self):
        """Lets it close its connections."""
        self.process.child.stdin.close()
        self.process.child.wait()
        self.process.child.stdout.close()


def measure(bench, system, command, settled):
    """Sends a load and tells what it cost the system: processor seconds from the first push until it
    has come to rest, so that what it puts off is counted too."""
    driver = Driver(bench, command)
    system.process.check()
    before = system.process.cpu_s()
    driver.go()
    seen = driver.hear()
    fed = system.process.cpu_s()
    settled(system.process)
    seen["cpu_s"] = system.process.cpu_s() - before
    seen["cpu_s_after"] = system.process.cpu_s() - fed
    seen["driver_cpu_s"] = driver.process.cpu_s()
    seen["wire_bytes_per_sample"] = driver.ready["wire_bytes"] / max(seen["samples"], 1)
    seen["cpu_s_per_million"] = seen["cpu_s"] / max(seen["samples"], 1) * 1e6
    seen["samples_per_s"] = seen["samples"] / max(seen["seconds"], 1e-9)
    seen["memory"] = system.process.memory_mb()
    driver.end()
    return seen


def settle_short(process):
    """Half a second of rest."""
    from bench.processes import settle
    settle(process, 0.5, 20)


def pause(seconds):
    time.sleep(seconds)

"""The measuring program `rollcall-bench`: what it says and hears while a system is measured."""

import json
import subprocess

from bench.processes import Process, Stop, settle, tail


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


def measure(bench, system, command, samples=None):
    """Sends a load and tells what it cost the system: processor seconds from the first push until it
    has come to rest, so that what it puts off for a moment is counted too."""
    driver = Driver(bench, command)
    system.process.check()
    before = system.process.cpu_s()
    driver.go()
    seen = driver.hear()
    fed = system.process.cpu_s()
    settle(system.process, 0.75, 4)
    seen["cpu_s"] = system.process.cpu_s() - before
    seen["cpu_s_while_fed"] = fed - before
    seen["memory"] = system.process.memory_mb()
    seen.setdefault("samples", samples)
    samples = max(seen["samples"], 1)
    seen["wire_bytes_per_sample"] = driver.ready["wire_bytes"] / samples
    seen["cpu_s_per_million"] = seen["cpu_s"] / samples * 1e6
    seen["samples_per_s"] = seen["samples"] / max(seen["seconds"], 1e-9)
    driver.end()
    return seen

"""The command line of `tests/bench`, and what holds for a whole run."""

import argparse
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from bench import ack, agent, connections, dashboard, disk, growth, ingest, query, restart
from bench.machine import describe_machine
from bench.packages import Packages
from bench.processes import Process, Stop
from bench.results import Results

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]

BENCHES = {
    "ingest": ingest, "disk": disk, "connections": connections, "query": query,
    "restart": restart, "ack": ack, "growth": growth, "agent": agent, "dashboard": dashboard,
}

EXPLANATION = """\
names:
""" + "\n".join(f"  {name:12} {bench.__doc__.splitlines()[0]}" for name, bench in BENCHES.items()) + """
  all          each of them, one after the other

Each takes under a minute after the build in its short form; --long takes up to half an hour and
measures at the sizes of a district. Other programs are installed from Debian by apt-get where this
runs as root, without starting their services; what cannot be had is named and left out."""


class Bench:
    """A run: its folder, its programs, and what it found."""

    def __init__(self, options):
        self.options = options
        self.long, self.smoke = options.long, options.smoke
        self.descriptors = raise_descriptors()
        self.packages = Packages()
        self.results = Results()
        self.systems = []

    def run(self, names):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rollcall-bench."))
        self.folder.chmod(0o711)
        self.logs = self.folder / "logs"
        self.logs.mkdir()
        benches = [BENCHES[name] for name in names]
        if not self.smoke:
            self.packages.provide(package for bench in benches for package in bench.PACKAGES)
        self.build(sorted({program for bench in benches for program in bench.PROGRAMS}))
        self.results.begin(describe_machine(), self.commit(), self.options)
        for name in names:
            started = time.monotonic()
            say(f"== {name}")
            self.results.open(name)
            BENCHES[name].run(self)
            self.clear()
            self.results.close(time.monotonic() - started)
            self.results.tell(name)
        if self.options.json:
            self.results.write(self.options.json)
            say(f"written: {self.options.json}")

    def build(self, programs):
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
        self.binaries = (REPOSITORY / target) / "release"
        given = os.environ.get("ROLLCALL_BENCH_BINARIES")
        if given:
            # Of a build that was made before, such as that of the tests.
            self.binaries = pathlib.Path(given).resolve()
            missing = [name for name in programs if not (self.binaries / name).is_file()]
            if missing:
                raise Stop(f"ROLLCALL_BENCH_BINARIES: {self.binaries} lacks {', '.join(missing)}")
            return
        cargo = shutil.which("cargo") or shutil.which("cargo", path=str(pathlib.Path.home() / ".cargo/bin"))
        if not cargo:
            raise Stop("`cargo` was not found; install Rust (the version is in Cargo.toml)")
        say("building in release mode (some minutes the first time)")
        command = [cargo, "build", "--locked", "--release"]
        for name in programs:
            command += ["--bin", name]
        started = time.monotonic()
        if subprocess.run(command, cwd=REPOSITORY).returncode != 0:
            raise Stop("the build failed; see above")
        say(f"built in {time.monotonic() - started:.0f} s")

    def commit(self):
        git = ["git", "-C", str(REPOSITORY)]
        try:
            head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
            changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"],
                                     capture_output=True, text=True)
        except OSError:
            return "unknown"
        return (head.stdout.strip() or "unknown") + ("+changes" if changed.stdout.strip() else "")

    # ---- what benches use ----

    def program(self, name):
        return self.packages.program(name)

    def has(self, kind):
        """Whether a system can be had; says so once where it cannot."""
        return self.packages.has(kind.program, kind.title)

    def tool(self, program, command):
        done = subprocess.run([str(part) for part in [program, *command]], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, preexec_fn=None)
        if done.returncode != 0:
            # One that was ended from outside, as for want of memory, has said nothing itself.
            how = f"status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
            raise Stop(f"`{pathlib.Path(program).name} {command[0]}` failed with {how}:\n"
                       f"{(done.stderr or done.stdout).strip()}")
        return done.stdout

    def series(self, name, devices, reports, **more):
        """A file of samples; every system gets the same."""
        from bench.systems import arguments
        file = self.folder / name
        made = json.loads(self.tool(self.binaries / "rollcall-bench", [
            "series", "--devices", devices, "--reports", reports, "--out", file, *arguments(more)]))
        return file, made["samples"]

    def system(self, kind, label="", **more):
        made = kind(self, label, **more)
        self.systems.append(made)
        return made

    def size(self, smoke, short, long):
        """A parameter of the form that is run."""
        return smoke if self.smoke else long if self.long else short

    def say(self, text):
        say(f"   {text}")

    def clear_systems(self):
        for system in self.systems:
            system.delete()
        self.systems.clear()

    def clear(self):
        self.clear_systems()
        Process.stop_all()
        for file in self.folder.iterdir():
            if file.is_file():
                file.unlink()

    def end(self):
        """Leaves nothing behind, however it ended."""
        Process.stop_all()
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder, ignore_errors=True)


def raise_descriptors():
    """As many open files as this machine allows to a process, for us and those that we start."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        most = 1_048_576
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def options(arguments=None):
    parser = argparse.ArgumentParser(prog="tests/bench", description=__doc__, epilog=EXPLANATION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*BENCHES, "all"], metavar="NAME", help="what to measure; see below")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write what was measured")
    parser.add_argument("--store", type=pathlib.Path, metavar="FOLDER",
                        help="dashboard: a collector's folder that `rollcall-simulator fill` has filled before; it stays")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--long", action="store_true", help="the long form")
    form.add_argument("--smoke", action="store_true",
                      help="a tiny form that installs nothing and shows that the bench works; its figures mean nothing")
    return parser.parse_args(arguments)


def interrupt(number, frame):
    raise KeyboardInterrupt


def main():
    chosen = options()
    bench = Bench(chosen)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    status = 0
    try:
        bench.run(list(BENCHES) if chosen.name == "all" else [chosen.name])
    except KeyboardInterrupt:
        print(flush=True)
        say("stopping")
        status = 130
    except Stop as reason:
        print(f"\nbench: {reason}", file=sys.stderr, flush=True)
        status = 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        bench.end()
    return status

"""Programs of Debian that are measured beside Rollcall: installed by name, and never run as services."""

import os
import pathlib
import shutil
import subprocess
import time

from bench.processes import Stop

# Where Debian keeps programs that are not in every user's path.
PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/zabbix-agent2"
POLICY = pathlib.Path("/usr/sbin/policy-rc.d")


class Packages:
    def __init__(self):
        self.told = set()
        self.missing = {}

    def provide(self, names):
        """Installs what is not there yet; what cannot be had is left out by those who want it."""
        names = sorted(set(names))
        wanted = [name for name in names if not is_installed(name)]
        if not wanted:
            return
        reason = None
        if not shutil.which("apt-get"):
            reason = "this is not Debian"
        elif os.geteuid() != 0:
            reason = ("only root may install it: sudo apt-get install --no-install-recommends "
                      + " ".join(wanted))
        if reason is None:
            reason = install(wanted)
        for name in wanted:
            if not is_installed(name):
                self.missing[name] = reason or "apt-get knows no such package"
                say(f"left out: {name} ({self.missing[name]})")

    def program(self, name):
        found = shutil.which(name, path=PATH)
        if not found:
            raise Stop(f"`{name}` was not found")
        return found

    def has(self, program, title):
        if shutil.which(program, path=PATH):
            return True
        if program not in self.told:
            self.told.add(program)
            say(f"left out: {title}, since there is no `{program}` on this machine")
        return False


def install(names):
    """`None` when done, or why not. No service is started because its package is installed."""
    say(f"installing {', '.join(names)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=600", "-qq", "-y"]
    made = not POLICY.exists()
    if made:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        run([*command, "update"], environment)
        done = run([*command, "install", "--no-install-recommends", *names], environment)
        if done.returncode == 0:
            return None
        # One that cannot be had must not keep the others out.
        failed = [name for name in names
                  if run([*command, "install", "--no-install-recommends", name], environment).returncode]
        return "apt-get failed" if failed else None
    finally:
        if made:
            POLICY.unlink(missing_ok=True)


def run(command, environment):
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def is_installed(name):
    try:
        done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", name],
                              capture_output=True, text=True)
    except OSError:
        return False
    return done.stdout == "installed"


def version_of(name):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True)
    return done.stdout or None


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

"""What is packaged: its version, its commit, and the one time that every file bears."""

import os
import pathlib
import re
import subprocess
import sys
import tomllib

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
DEPLOY = REPOSITORY / "deploy"
MAINTAINER = "The school's IT staff <root@localhost>"


class Stop(Exception):
    """A reason not to go on, for a person to read."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(command, **options):
    """Runs a tool to its end; what it said is told only where it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip()[-2000:]
        raise Stop(f"`{command[0]}` ended with {done.returncode}: {said}")
    return done.stdout


class Project:
    def __init__(self, as_version=None, is_quick=False):
        # Of xz: 6 makes the smallest that is worth its time, 0 is for tests.
        self.effort = 0 if is_quick else 6
        manifest = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())
        own = manifest["workspace"]["package"]["version"]
        self.version = as_version or own
        self.is_pretended = self.version != own
        if not re.fullmatch(r"\d{1,3}\.\d{1,3}\.\d{1,5}", self.version):
            # Windows Installer compares three numbers and no more.
            raise Stop(f"the version `{self.version}` is not of the form X.Y.Z, as 0.1.0")
        self.commit = self.git("rev-parse", "HEAD") or "unknown"
        self.is_changed = bool(self.git("status", "--porcelain", "--untracked-files=no"))
        self.epoch = self.commit_time()

    def commit_time(self):
        """SOURCE_DATE_EPOCH where it is set, else the commit's time, else that of Cargo.toml."""
        given = os.environ.get("SOURCE_DATE_EPOCH")
        told = given or self.git("log", "-1", "--format=%ct")
        if told and not told.isdigit():
            raise Stop(f"SOURCE_DATE_EPOCH is `{told}`, and has to be seconds since 1970")
        return int(told) if told else int((REPOSITORY / "Cargo.toml").stat().st_mtime)

    @staticmethod
    def git(*words):
        try:
            done = subprocess.run(["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True)
        except FileNotFoundError:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    def environment(self):
        """The environment of tools that would otherwise look at the clock, the place or the language."""
        return {**os.environ, "SOURCE_DATE_EPOCH": str(self.epoch), "TZ": "UTC", "LC_ALL": "C.UTF-8"}

    def fill_in(self, text, **more):
        for name, value in {"VERSION": self.version, **more}.items():
            text = text.replace(f"@{name}@", str(value))
        return text

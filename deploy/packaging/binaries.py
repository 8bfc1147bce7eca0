"""Where the programs come from: built here without a trace of this machine, or given."""

import os
import pathlib
import re
import shutil
import subprocess

from project import REPOSITORY, Stop, run, say


class Source:
    def __init__(self, project, folder, mac_binary):
        self.project = project
        self.folder = folder
        self.mac_binary = mac_binary

    def agent(self):
        return self.linux("rollcall-agent", "agent")

    def collector(self):
        return self.linux("rollcall-collector", "release")

    def windows_agent(self):
        name = "rollcall-agent.exe"
        if self.folder and (self.folder / name).is_file():
            return self.folder / name
        if self.folder:
            raise Stop(f"--binaries {self.folder} has no {name}; build it with deploy/cross first")
        return self.build_windows()

    def mac_agent(self):
        if self.mac_binary is None:
            raise Stop("a program for macOS cannot be linked on Linux without Apple's SDK; build it on a Mac with "
                       "`cargo build --locked --profile agent -p rollcall-agent` and give it with --binary FILE")
        if not self.mac_binary.is_file():
            raise Stop(f"--binary {self.mac_binary}: there is no such file")
        return self.mac_binary

    def linux(self, name, profile):
        if self.folder:
            file = self.folder / name
            if not file.is_file():
                raise Stop(f"--binaries {self.folder} has no {name}")
            return file
        return self.build(name, profile)

    def build(self, name, profile):
        say(f"building {name} (profile {profile}; some minutes the first time)")
        cargo = shutil.which("cargo") or shutil.which("cargo", path=str(pathlib.Path.home() / ".cargo/bin"))
        if not cargo:
            raise Stop("`cargo` was not found; install Rust (the version is in Cargo.toml)")
        environment = {**self.project.environment(), "RUSTFLAGS": " ".join(remapped())}
        command = [cargo, "build", "--locked", "--profile", profile, "-p", name]
        # A folder of its own: other flags would make every other build start anew.
        target = REPOSITORY / "target" / "package"
        environment["CARGO_TARGET_DIR"] = str(target)
        if subprocess.run(command, cwd=REPOSITORY, env=environment).returncode != 0:
            raise Stop(f"{name} could not be built; see above")
        return target / profile / name

    def build_windows(self):
        """By deploy/cross, whose compiler takes no flags of ours: paths of this machine may be in panic messages."""
        script = REPOSITORY / "deploy" / "cross"
        triple, profile = "x86_64-pc-windows-gnu", "agent"
        if not script.exists():
            raise Stop("deploy/cross, which builds the agent for Windows, is not there; give one with --binaries DIR")
        say("building rollcall-agent.exe (some minutes the first time)")
        command = [script, triple, "build", "--locked", "--profile", profile, "-p", "rollcall-agent"]
        environment = self.project.environment()
        if subprocess.run(command, cwd=REPOSITORY, env=environment).returncode != 0:
            raise Stop("rollcall-agent.exe could not be built; see above")
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
        return target / "cross" / triple / profile / "rollcall-agent.exe"


def remapped():
    """Flags by which no path of this machine gets into a program."""
    home = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
    flags = os.environ.get("RUSTFLAGS", "").split()
    return flags + [f"--remap-path-prefix={REPOSITORY}=/rollcall", f"--remap-path-prefix={home}=/cargo"]


def lowest_glibc(program):
    """The oldest glibc that has every symbol of a program, as (2, 34); None where it needs none."""
    symbols = run(["objdump", "-T", program])
    found = {tuple(int(part) for part in version.split(".")) for version in re.findall(r"GLIBC_([\d.]+)", symbols)}
    return max(found, default=None)

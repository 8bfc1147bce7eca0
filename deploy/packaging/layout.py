"""What a package holds, as a list of entries that every format is written from."""

import dataclasses
import gzip
import pathlib

from project import DEPLOY, REPOSITORY


@dataclasses.dataclass(frozen=True)
class Entry:
    path: str
    content: bytes
    mode: int = 0o644
    is_settings: bool = False


def text(path, file, mode=0o644, **more):
    return Entry(path, pathlib.Path(file).read_bytes(), mode, **more)


def changelog(project):
    """Debian's form of the changelog: what a package manager shows is our own file beside it."""
    return gzip.compress((REPOSITORY / "CHANGELOG.md").read_bytes(), 9, mtime=0)


def agent(project, program):
    linux, documents = DEPLOY / "linux", "usr/share/doc/rollcall-agent"
    entries = [
        text("usr/bin/rollcall-agent", program, 0o755),
        text("usr/lib/rollcall-agent/setup", linux / "setup", 0o755),
        text("usr/lib/rollcall-agent/bin/smartctl", linux / "smartctl", 0o755),
        text(f"{documents}/README.md", linux / "README.md"),
        text(f"{documents}/agent.toml", linux / "agent.toml"),
    ]
    units = ["rollcall-agent.service", "rollcall-agent-drives.service", "rollcall-agent-drives.timer"]
    entries += [text(f"usr/lib/systemd/system/{unit}", linux / unit) for unit in units]
    return sorted(entries + papers(project, documents), key=lambda entry: entry.path)


def collector(project, program):
    folder, documents = DEPLOY / "collector", "usr/share/doc/rollcall-collector"
    entries = [
        text("usr/bin/rollcall-collector", program, 0o755),
        text("usr/lib/rollcall-collector/setup", folder / "setup", 0o755),
        text("etc/rollcall/collector.toml", folder / "collector.toml", 0o640, is_settings=True),
    ]
    units = ["rollcall-collector.service", "rollcall-collector-backup.service", "rollcall-collector-backup.timer"]
    entries += [text(f"usr/lib/systemd/system/{unit}", folder / unit) for unit in units]
    pages = ["README.md", "backup.md", "nginx.conf", "Dockerfile", "kubernetes.yaml"]
    entries += [text(f"{documents}/{page}", folder / page) for page in pages]
    return sorted(entries + papers(project, documents), key=lambda entry: entry.path)


def papers(project, documents):
    return [
        text(f"{documents}/copyright", REPOSITORY / "LICENSE"),
        Entry(f"{documents}/changelog.gz", changelog(project)),
    ]


def folders(entries):
    """Every folder above the entries, parents first."""
    found = set()
    for entry in entries:
        found.update(str(parent) for parent in pathlib.PurePosixPath(entry.path).parents if str(parent) != ".")
    return sorted(found)

"""Debian packages, written byte by byte: an `ar` of two sorted tars. See deb(5)."""

import hashlib
import io
import lzma
import tarfile

import binaries
import layout
from project import DEPLOY, MAINTAINER

AGENT = {
    "name": "rollcall-agent",
    "summary": "reads this laptop's health and streams it to the school's collector",
    "description": [
        "A light agent that reads the health of the operating system, battery, disk and",
        "network, and streams it over mutual TLS to the school's own Rollcall collector.",
        "It collects no location, no user or file name and no browsing.",
    ],
    "recommends": "smartmontools, ca-certificates",
    # What runs a proxy's script (PAC), where a district has one.
    "suggests": "libproxy-tools, libproxy1-plugin-webkit",
}
COLLECTOR = {
    "name": "rollcall-collector",
    "summary": "collects laptops' health and tells which of them need attention",
    "description": [
        "Takes in what Rollcall's agents stream, keeps it, evaluates rules and forecasts,",
        "and tells the help desk, the technology coaches or the network team.",
    ],
    "recommends": "ca-certificates",
}
SCRIPTS = ["preinst", "postinst", "prerm", "postrm"]


def agent(project, source, out):
    program = source.agent()
    return write(project, AGENT, program, layout.agent(project, program), DEPLOY / "linux/debian", out)


def collector(project, source, out):
    program = source.collector()
    return write(project, COLLECTOR, program, layout.collector(project, program), DEPLOY / "collector/debian", out)


def write(project, about, program, entries, scripts, out):
    data = lzma.compress(tar(project, entries), preset=project.effort)
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", lzma.compress(control(project, about, program, entries, scripts), preset=project.effort)),
        ("data.tar.xz", data),
    ]
    file = out / f"{about['name']}_{project.version}_amd64.deb"
    file.write_bytes(archive(project, members))
    return file


def control(project, about, program, entries, scripts):
    size = sum(-(-len(entry.content) // 1024) for entry in entries) + len(layout.folders(entries))
    fields = [
        f"Package: {about['name']}",
        f"Version: {project.version}",
        "Architecture: amd64",
        f"Maintainer: {MAINTAINER}",
        f"Installed-Size: {size}",
        f"Depends: {depends(program)}",
        f"Recommends: {about['recommends']}",
        *([f"Suggests: {about['suggests']}"] if "suggests" in about else []),
        "Section: admin",
        "Priority: optional",
        f"Description: {about['summary']}",
        *(f" {line}" for line in about["description"]),
        f" Built from commit {project.commit}. This build is not signed.",
    ]
    sums = "".join(f"{hashlib.md5(entry.content).hexdigest()}  {entry.path}\n" for entry in entries
                   if not entry.is_settings)
    settings = "".join(f"/{entry.path}\n" for entry in entries if entry.is_settings)
    files = {"control": "\n".join(fields) + "\n", "md5sums": sums}
    if settings:
        files["conffiles"] = settings
    if (scripts / "templates").exists():
        files["templates"] = (scripts / "templates").read_text()
    made = [layout.Entry(name, text.encode()) for name, text in files.items()]
    made += [layout.Entry(name, project.fill_in((scripts / name).read_text()).encode(), 0o755) for name in SCRIPTS]
    return tar(project, sorted(made, key=lambda entry: entry.path))


def depends(program):
    """Only what every Debian and Ubuntu has: the C library, and `passwd` for the system user."""
    lowest = binaries.lowest_glibc(program)
    libraries = [f"libc6 (>= {lowest[0]}.{lowest[1]})", "libgcc-s1"] if lowest else []
    return ", ".join([*libraries, "passwd"])


def tar(project, entries):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as file:
        for folder in [""] + layout.folders(entries):
            file.addfile(member(project, f"./{folder}".rstrip("/") + "/", 0o755, tarfile.DIRTYPE))
        for entry in entries:
            info = member(project, f"./{entry.path}", entry.mode, tarfile.REGTYPE)
            info.size = len(entry.content)
            file.addfile(info, io.BytesIO(entry.content))
    return buffer.getvalue()


def member(project, name, mode, kind):
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.mtime = mode, kind, project.epoch
    info.uname = info.gname = "root"
    return info


def archive(project, members):
    """An `ar` archive; see ar(5)."""
    parts = [b"!<arch>\n"]
    for name, content in members:
        head = f"{name:<16}{project.epoch:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        parts += [head.encode(), content, b"\n" if len(content) % 2 else b""]
    return b"".join(parts)

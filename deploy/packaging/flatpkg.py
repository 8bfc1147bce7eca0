"""The flat package of macOS, written here without Apple's tools: a xar of Bom, PackageInfo, Payload and
Scripts. It is built and opened on Linux, and has not yet run on a Mac."""

import gzip
import hashlib
import struct
import zlib

import bom
import layout
from project import DEPLOY

MAC = DEPLOY / "macos"
IDENTIFIER = "org.rollcall.agent"
FOLDER_MODE, FILE_MODE = 0o040000, 0o100000


def agent(project, source, out):
    program = source.mac_agent()
    payload = [
        layout.text("usr/local/bin/rollcall-agent", program, 0o755),
        layout.text("usr/local/rollcall/uninstall", MAC / "uninstall", 0o755),
        layout.text("Library/LaunchDaemons/org.rollcall.agent.plist", MAC / "org.rollcall.agent.plist"),
    ]
    payload.sort(key=lambda entry: entry.path)
    scripts = [layout.text(name, MAC / "scripts" / name, 0o755) for name in ["postinstall", "preinstall"]]
    tree = with_folders(payload)
    members = {
        "Bom": bom.write(tree, project.epoch),
        "PackageInfo": project.fill_in(
            (MAC / "PackageInfo").read_text(), FILES=len(tree),
            KILOBYTES=sum(len(entry.content) for entry in payload) // 1024).encode(),
        "Payload": gzip.compress(cpio(tree, project.epoch), 9, mtime=0),
        "Scripts": gzip.compress(cpio(with_folders(scripts), project.epoch), 9, mtime=0),
    }
    file = out / f"rollcall-agent-{project.version}.pkg"
    file.write_bytes(xar(members, project))
    return file


def with_folders(entries):
    """(path, mode with its type, content), parents first, from `.` on."""
    tree = [(".", FOLDER_MODE | 0o755, None)]
    tree += [(f"./{folder}", FOLDER_MODE | 0o755, None) for folder in layout.folders(entries)]
    tree += [(f"./{entry.path}", FILE_MODE | entry.mode, entry.content) for entry in entries]
    return sorted(tree)


def cpio(tree, epoch):
    """The portable form of octal numbers, `cpio -H odc`."""
    parts = []
    for number, (path, mode, content) in enumerate([*tree, ("TRAILER!!!", 0, b"")], start=1):
        name, body = path.encode() + b"\0", content or b""
        fields = [0, number, mode, 0, 0, 1, 0]
        head = b"070707" + b"".join(b"%06o" % field for field in fields)
        parts += [head + b"%011o%06o%011o" % (epoch if mode else 0, len(name), len(body)), name, body]
    return b"".join(parts)


def xar(members, project):
    """A header, a table of contents in compressed XML with its checksum, then the members."""
    heap, entries, at = [], [], 20
    for number, (name, content) in enumerate(sorted(members.items()), start=1):
        digest = hashlib.sha1(content).hexdigest()
        entries.append(
            f'<file id="{number}"><name>{name}</name><type>file</type><mode>0644</mode>'
            f"<uid>0</uid><gid>0</gid><data><archived-checksum style=\"sha1\">{digest}</archived-checksum>"
            f"<extracted-checksum style=\"sha1\">{digest}</extracted-checksum>"
            f'<encoding style="application/octet-stream"/><size>{len(content)}</size>'
            f"<offset>{at}</offset><length>{len(content)}</length></data></file>")
        heap.append(content)
        at += len(content)
    contents = ('<?xml version="1.0" encoding="UTF-8"?>\n<xar><toc><checksum style="sha1"><offset>0</offset>'
                f'<size>20</size></checksum>{"".join(entries)}</toc></xar>').encode()
    packed = zlib.compress(contents, 9)
    header = struct.pack(">4sHHQQI", b"xar!", 28, 1, len(packed), len(contents), 1)
    return header + packed + hashlib.sha1(packed).digest() + b"".join(heap)

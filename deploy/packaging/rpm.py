"""RPM packages, by rpmbuild from files that are staged already."""

import os
import pathlib
import shutil
import tempfile

import layout
from project import DEPLOY, Stop, run


def agent(project, source, out):
    entries = layout.agent(project, source.agent())
    return write(project, "rollcall-agent", entries, DEPLOY / "linux/agent.spec", out)


def collector(project, source, out):
    entries = layout.collector(project, source.collector())
    return write(project, "rollcall-collector", entries, DEPLOY / "collector/collector.spec", out)


def write(project, name, entries, spec, out):
    if not shutil.which("rpmbuild"):
        raise Stop("`rpmbuild` is missing: apt-get install rpm, or dnf install rpm-build")
    with tempfile.TemporaryDirectory(prefix="rollcall-rpm-") as folder:
        top = pathlib.Path(folder)
        stage(project, entries, top / "root")
        (top / "files").write_text(file_list(entries))
        (top / "package.spec").write_text(project.fill_in(spec.read_text(), FILES=top / "files"))
        run(["rpmbuild", "-bb", *definitions(project, top), "--buildroot", top / "root", top / "package.spec"],
            env={**project.environment(), "HOME": folder})
        built = top / "out/x86_64" / f"{name}-{project.version}-1.x86_64.rpm"
        file = out / built.name
        shutil.copyfile(built, file)
    return file


def stage(project, entries, root):
    for entry in entries:
        file = root / entry.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(entry.content)
        file.chmod(entry.mode)
        os.utime(file, (project.epoch, project.epoch))


def file_list(entries):
    """Only folders of our own belong to the package."""
    own = [folder for folder in layout.folders(entries) if "rollcall-" in folder]
    lines = [f"%dir %attr(0755, root, root) /{folder}" for folder in own]
    for entry in entries:
        kind = "%config(noreplace) " if entry.is_settings else ""
        lines.append(f"{kind}%attr({entry.mode:04o}, root, root) /{entry.path}")
    return "\n".join(lines) + "\n"


def definitions(project, top):
    """Nothing of the clock, the host or the folder gets into the package; the programs stay as they are."""
    values = {
        "_topdir": top,
        "_rpmdir": top / "out",
        "_builddir": top,
        "_dbpath": top / "db",
        "_tmppath": top,
        "_buildhost": "reproducible",
        "use_source_date_epoch_as_buildtime": "1",
        "clamp_mtime_to_source_date_epoch": "1",
        "source_date_epoch_from_changelog": "0",
        "debug_package": "%{nil}",
        "_build_id_links": "none",
        "__os_install_post": "%{nil}",
        "__spec_install_post": "%{nil}",
        "_binary_payload": f"w{project.effort}.xzdio",
        "_source_filedigest_algorithm": "8",
        "_binary_filedigest_algorithm": "8",
    }
    return [word for name, value in values.items() for word in ("--define", f"{name} {value}")]

"""Rollcall without durability, to say what durability costs. There is no such setting: a library is
preloaded that makes every sync a no-op."""

import pathlib
import shutil
import subprocess

SOURCE = pathlib.Path(__file__).with_name("nosync.c")


def no_sync(bench):
    """The environment that preloads it; `None` where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        return None
    library = bench.folder / "nosync.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        return None
    return {"LD_PRELOAD": str(library)}

"""Real series of host metrics as a file of samples, from ROLLCALL_DATA; they are read, never copied
into the project."""

import array
import csv
import json
import os
import pathlib
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
NUMBERS = 36
DRIVE_SMART = 105  # takes any number that is not negative, under an instance of its own
MOST_ROWS = 4000


def folder():
    given = os.environ.get("ROLLCALL_DATA")
    return pathlib.Path(given) if given else REPOSITORY / ".." / "shared" / "data"


def real_series(bench, laptops):
    """(file, samples, laptops), or `None` where the data are absent. Each laptop has 36 of the series,
    starting with another one."""
    source = folder() / "series"
    columns = [column for file in sorted(source.rglob("*.csv")) if (column := read(file))]
    if not columns:
        bench.results.note(f"no real series: {source} is absent or empty; ROLLCALL_DATA names another folder")
        bench.say(f"left out: real series, since there are none in {source}")
        return None
    file, rows = bench.folder / "real", max(len(column) for column in columns)
    chosen = [[columns[(laptop + n) % len(columns)] for n in range(min(NUMBERS, len(columns)))]
              for laptop in range(laptops)]
    samples = sum(len(column) for own in chosen for column in own)
    names = [[DRIVE_SMART, f"sda/{n}"] for n in range(NUMBERS)]
    head = {"end_ms": int(time.time()) // 60 * 60_000, "reports": rows, "samples": samples, "devices": [
        {"number": n, "site": "Real", "series": names, "metrics": ["hw.physical_disk.smart"] * NUMBERS}
        for n in range(laptops)]}
    nothing = float("nan")
    with open(file, "wb") as out:
        out.write(json.dumps(head).encode() + b"\n")
        for own in chosen:
            padded = own + [[]] * (NUMBERS - len(own))
            numbers = array.array("d", (column[row] if row < len(column) else nothing
                                        for row in range(rows) for column in padded))
            out.write(numbers.tobytes())
    bench.results.parameters(real_series=len(columns), real_samples=samples, real_laptops=laptops)
    return file, samples, laptops


def read(file):
    """The values of a file with the columns `timestamp` and `value`; those below zero fit no metric."""
    try:
        with open(file, newline="") as opened:
            values = [float(row["value"]) for row in csv.DictReader(opened)]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return values[:MOST_ROWS] if values and min(values) >= 0 else None

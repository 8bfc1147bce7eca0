"""Bytes a sample on disk after days of history, beside VictoriaMetrics: simulated and real series.

Each day is fed and sealed on its own, as it would come; then the days that are over are merged, and
retention has removed the older half.
Bytes are what du counts of the whole data folder after the program has come to rest and stopped,
divided by the samples that can still be read. The real series are those of ROLLCALL_DATA (default
../shared/data): host metrics (NAB) in real order, given to laptops as numbers of their reports.
"""

import calendar
import datetime
import json

from bench.driver import Driver
from bench.processes import disk_bytes, settle, wait_for
from bench.real_series import real_series
from bench.systems import InfluxDb, Rollcall, VictoriaMetrics

PROGRAMS = ["rollcall-collector", "rollcall-bench"]
PACKAGES = ["victoria-metrics", "influxdb"]

DAY = 1440


def run(bench):
    laptops, retention = bench.size(3, 60, 300), bench.size(8, 8, 14)
    ago = bench.size([20, 0], [17, 16, 7, 6, 5, 4, 3, 2, 1], [*range(27, -1, -1)])
    bench.results.parameters(laptops=laptops, days_ago=ago, retention_days=retention)
    files = [bench.series(f"day{day:02}", laptops, DAY, minutes_ago=day * DAY) for day in ago]
    rows = {}
    rows["rollcall"] = of_rollcall(bench, files, laptops, retention)
    for kind in (VictoriaMetrics, InfluxDb):
        if bench.has(kind):
            rows[kind.name] = of_other(bench, kind, files, laptops, retention)
    tell(bench, rows, "simulated", "")
    target(bench, rows, "simulated series")
    real(bench)


def of_rollcall(bench, files, laptops, retention, label=""):
    system = bench.system(Rollcall, label, retention_days=retention)
    system.enrol(laptops, 1)
    empty = system.bytes_on_disk()
    for day, (file, _) in enumerate(files):
        system.fill(file, laptops, first_sequence=1 + day * DAY)
    whole = sum(samples for _, samples in files)
    before = system.bytes_on_disk()
    system.start()
    wait_for(bench.size(90, 90, 1800), "the days that are over to be merged",
             lambda: not unmerged(system), system.process)
    settle(system.process, 2, 30)
    kept = kept_share(system, files)
    system.stop()
    after = system.bytes_on_disk()
    bench.results.put(f"rollcall{label}_bytes_of_an_empty_store", empty)
    parts = {name: taken / (whole * kept) for name, taken in by_part(system).items()}
    return {"whole": before / whole, "kept": after / (whole * kept), "kept_share": kept, "parts": parts}


def by_part(system):
    """What readings, roll-ups and everything else take."""
    taken = {"readings": 0, "rollups": 0}
    for folder in (system.data / "history").iterdir():
        is_rolled = folder.name.rpartition(".")[2] in ("15m", "1h", "1d")
        taken["rollups" if is_rolled else "readings"] += disk_bytes(folder)
    return {**taken, "state": system.bytes_on_disk() - sum(taken.values())}


def unmerged(system):
    """Days that are over by some hours and lie as they were sealed."""
    yesterday = datetime.datetime.now(datetime.timezone.utc).date() - datetime.timedelta(days=1)
    days = [folder.name.removesuffix(".0") for folder in (system.data / "history").glob("????-??-??.0")]
    return [day for day in days if datetime.date.fromisoformat(day) < yesterday]


def of_other(bench, kind, files, laptops, retention, label=""):
    system = bench.system(kind, label, retention_days=400)
    system.start()
    for file, _ in files:
        driver = Driver(bench, system.driver(file, laptops, **{"from": 1}, reports_per_push=15, gather=30, streams=2))
        driver.go()
        driver.hear()
        driver.end()
    merge(system)
    whole = sum(samples for _, samples in files)
    system.stop()
    before = system.bytes_on_disk()
    return {"whole": before / whole}


def merge(system):
    """Lets it bring its files into the form that it keeps them in."""
    if isinstance(system, VictoriaMetrics):
        system.flush()
        system.ask("/internal/force_merge")
    settle(system.process, 2, 60)


def kept_share(system, files):
    """The share of samples that retention left, by the first point that can still be read."""
    names = header(files[0][0])["devices"][0]
    _, instance = names["series"][0]
    answer = json.loads(system.points(system.first_laptop(), names["metrics"][0], instance, 60, 1000))
    # Retention ends at midnight (UTC); the laptop may have slept then.
    first = moment(answer["points"][0]["at"]) // 86400 * 86400
    total = sum(samples for _, samples in files)
    # A day of the files ends a day before the next.
    kept = sum(samples * share_after(header(file)["end_ms"] / 1000, first) for file, samples in files)
    return kept / total


def share_after(end, first):
    return min(max((end - first) / 86400, 0), 1)


def moment(text):
    return calendar.timegm(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).utctimetuple())


def header(file):
    with open(file, "rb") as opened:
        return json.loads(opened.readline())


def real(bench):
    """The same on real series, where they are."""
    made = real_series(bench, bench.size(2, 20, 100))
    if made is None:
        return
    file, samples, laptops = made
    rows = {"rollcall": of_rollcall(bench, [(file, samples)], laptops, 400, "_real")}
    for kind in (VictoriaMetrics, InfluxDb):
        if bench.has(kind):
            rows[kind.name] = of_other(bench, kind, [(file, samples)], laptops, 400, "_real")
    tell(bench, rows, "real", "_real")
    target(bench, rows, "real series")


def tell(bench, rows, what, suffix):
    results = bench.results
    for name, row in rows.items():
        results.put(f"{name}{suffix}_bytes_per_sample", row.get("kept", row["whole"]))
        results.put(f"{name}{suffix}_bytes_per_sample_before_retention", row["whole"])
    results.row(f"bytes a sample, {what} series, before days are merged and retention",
                **{n: r["whole"] for n, r in rows.items()})
    ours = rows["rollcall"]
    gone = 1 - ours["kept_share"]
    results.row(f"bytes a sample, {what} series, once they are merged"
                + (f" and retention has removed {gone:.0%}" if gone > 0 else ""), rollcall=ours["kept"])
    tell_parts(results, what, suffix, ours["parts"])
    if gone > 0:
        results.note("VictoriaMetrics and InfluxDB are measured with everything kept, which is their best: "
                     "they drop what expired by the month and by the week")


def tell_parts(results, what, suffix, parts):
    """Of Rollcall's: the others keep no roll-ups, and no state of a laptop."""
    names = {"readings": "every reading", "rollups": "roll-ups of 15 minutes, 1 hour, 1 day",
             "state": "the latest state, an hour's log, alerts"}
    for part, name in names.items():
        results.put(f"rollcall{suffix}_{part}_bytes_per_sample", parts[part])
        results.row(f"of these, {what} series: {name}", rollcall=parts[part])


def target(bench, rows, what):
    theirs = rows.get("victoriametrics", {}).get("whole")
    ours = rows["rollcall"].get("kept", rows["rollcall"]["whole"])
    found = f"{ours:.3g} against {theirs:.3g}" if theirs else f"{ours:.3g}, and nothing to compare"
    bench.results.target(f"at most half of VictoriaMetrics' bytes a sample, {what}",
                         None if theirs is None else ours <= theirs / 2, found)

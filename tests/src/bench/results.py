"""What was measured: kept by key, printed as a table with its targets, written as JSON."""

import json
import statistics
import time

median = statistics.median


class Results:
    def __init__(self):
        self.all = {}
        self.rows = {}
        self.notes = {}

    def begin(self, machine, commit, options):
        form = "long" if options.long else "smoke" if options.smoke else "short"
        self.all.update(machine=machine, commit=commit, form=form,
                        measured=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), benches={})

    def open(self, name):
        self.name = name
        self.all["benches"][name] = {"parameters": {}, "targets": []}
        self.rows[name], self.notes[name] = [], []

    def close(self, seconds):
        self.here["took_s"] = round(seconds, 1)
        self.here["notes"] = self.notes[self.name]
        # A run of one bench has its keys at the top too, where scripts look for them.
        if len(self.all["benches"]) == 1:
            self.all.update({key: value for key, value in self.here.items() if key not in self.all})

    @property
    def here(self):
        return self.all["benches"][self.name]

    def parameters(self, **values):
        self.here["parameters"].update(values)

    def put(self, key, value):
        """A figure under its key."""
        self.here[key] = rounded(value)

    def row(self, what, **cells):
        """A line of the table: a figure for each system, as text or number."""
        self.rows[self.name].append((what, cells))

    def note(self, text):
        """What a reader of the figures has to know."""
        self.notes[self.name].append(text)

    def target(self, what, met, found):
        """A target of the capacity plan; `met` is `None` where it could not be judged."""
        self.here["targets"].append({"target": what, "found": found, "met": met})

    def tell(self, name):
        print()
        print(table(self.rows[name]))
        for note in self.notes[name]:
            print(f"  - {note}")
        for target in self.here["targets"]:
            word = {True: "met", False: "NOT MET", None: "not judged"}[target["met"]]
            print(f"  target: {target['target']}: {target['found']}: {word}")
        print(f"  took {self.here['took_s']} s", flush=True)
        print(flush=True)

    def write(self, file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.all, indent=2) + "\n")


def table(rows):
    """In Markdown, with a column for each system."""
    columns = []
    for _, cells in rows:
        columns += [name for name in cells if name not in columns]
    lines = [["", *columns]]
    lines += [[what, *(text_of(cells.get(name)) for name in columns)] for what, cells in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns) + 1)]
    made = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    made.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(made)


def text_of(value):
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return value

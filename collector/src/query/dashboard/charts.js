// Makes the charts that the server drew zoom and tell their values, by pointer and by keyboard.
"use strict";
(() => {
  const box = document.querySelector("[data-history]");
  if (!box || !window.uPlot) return;
  const HEIGHT = 180;
  const RENEW_MS = 60000;
  const charts = new Map();

  const key = (metric, instance) => `${metric} ${instance}`;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  async function ask(parameters) {
    const address = new URL(box.dataset.history, location.href);
    for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, value);
    const answer = await fetch(address, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) throw new Error(`${answer.status}`);
    return answer.json();
  }

  function write(scale, value) {
    if (value === null || value === undefined) return "nothing";
    if (scale.words) return (scale.words[Math.round(value)] || "?").replaceAll("_", " ");
    const number = value * scale.factor;
    const digits = Math.abs(number) >= 100 ? 0 : 2;
    const text = number.toLocaleString("en", { maximumFractionDigits: digits });
    return scale.unit ? `${text} ${scale.unit}` : text;
  }

  function moment(seconds) {
    return new Date(seconds * 1000).toLocaleString([], {
      weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
    });
  }

  // Where the laptop was, and between what the readings of each stretch lay, behind the line.
  function shade(plot, stays, bands) {
    const { ctx, bbox } = plot;
    const x = (ms) => plot.valToPos(ms / 1000, "x", true);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const [campus, away] = [colour("--campus"), colour("--away")];
    for (const [from, to, site] of stays) {
      ctx.fillStyle = site === null ? away : campus;
      ctx.fillRect(x(from), bbox.top, Math.max(1, x(to) - x(from)), bbox.height);
    }
    ctx.fillStyle = colour("--band");
    for (const [from, to, least, greatest] of bands) {
      const [top, bottom] = [plot.valToPos(greatest, "y", true), plot.valToPos(least, "y", true)];
      ctx.fillRect(x(from), top, Math.max(1, x(to) - x(from)), Math.max(1, bottom - top));
    }
    ctx.restore();
  }

  class Chart {
    constructor(figure, past, line) {
      Object.assign(this, { figure, past, line, first: past });
      figure.tabIndex = 0;
      figure.setAttribute("role", "application");
      figure.setAttribute("data-own-keys", "");
      const name = `${line.metric} ${line.instance}`.trim();
      figure.setAttribute("aria-label",
        `Chart of ${name}. Left and right move, plus and minus zoom, 0 shows all.`);
      this.told = document.createElement("p");
      this.told.className = "told";
      this.told.setAttribute("aria-live", "polite");
      this.told.textContent = " ";
      this.place = document.createElement("div");
      this.place.setAttribute("aria-hidden", "true");
      figure.querySelector(".plot")?.replaceWith(this.place);
      figure.append(this.told);
      figure.addEventListener("keydown", (event) => this.onKey(event));
      this.draw();
    }

    options() {
      const { line, past } = this;
      const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
      const [low, high] = line.bounds || [0, 1];
      const room = line.scale.words || low === high ? 0 : (high - low) * 0.05;
      return {
        width: Math.max(200, this.place.clientWidth || this.figure.clientWidth - 32),
        height: HEIGHT,
        legend: { show: false },
        cursor: { drag: { x: true, y: false, setScale: false }, y: false },
        scales: {
          x: { range: () => [past.from / 1000, past.to / 1000] },
          // Words stand the other way round: the first one is at the top.
          y: low > high ? { dir: -1, range: () => [high, low] } : { range: () => [low - room, high + room] },
        },
        axes: [{ ...axis, size: 42 }, {
          ...axis,
          size: line.scale.words ? 100 : 74,
          splits: this.splits(),
          values: (_, splits) => splits.map((value) => write(line.scale, value)),
        }],
        series: [{}, {
          stroke: colour("--accent"),
          width: 2,
          spanGaps: false,
          paths: uPlot.paths.stepped({ align: 1 }),
          points: { show: false },
        }],
        hooks: {
          drawClear: [(plot) => shade(plot, this.past.stays, this.line.bands)],
          setCursor: [(plot) => this.tell(plot.cursor.idx)],
          setSelect: [(plot) => this.onSelect(plot)],
        },
      };
    }

    // What stands beside the chart: each word, the one value of a line that never moves, or round numbers.
    splits() {
      const { line } = this;
      if (line.scale.words) return () => line.scale.words.map((_, place) => place);
      const known = line.v.filter((value) => value !== null);
      const isFlat = known.every((value) => value === known[0]) && line.bands.length === 0;
      return isFlat && known.length > 0 && line.bounds[1] - line.bounds[0] !== 1 ? () => [known[0]] : undefined;
    }

    draw() {
      if (this.plot) this.plot.destroy();
      this.at = undefined;
      const times = this.line.t.map((ms) => ms / 1000);
      this.plot = new uPlot(this.options(), [times, this.line.v], this.place);
    }

    tell(at) {
      if (at === null || at === undefined || at >= this.line.t.length) return;
      this.at = at;
      const { t, v, bands, scale } = this.line;
      const band = bands.find(([from, to]) => from <= t[at] && t[at] < to);
      const range = band && v[at] !== null ? ` (${write(scale, band[2])} to ${write(scale, band[3])})` : "";
      this.told.textContent = `${moment(t[at] / 1000)}: ${write(scale, v[at])}${range}`;
    }

    onSelect(plot) {
      const { left, width } = plot.select;
      if (width < 4) return;
      const from = plot.posToVal(left, "x") * 1000;
      const to = plot.posToVal(left + width, "x") * 1000;
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      this.zoom(from, to);
    }

    // Asks again for what lies in between: a closer look has more points.
    async zoom(from, to) {
      const shortest = 5 * 60000;
      if (to - from < shortest) to = from + shortest;
      try {
        const past = await ask({
          metric: this.line.metric, instance: this.line.instance,
          from: Math.round(from), to: Math.round(to),
        });
        const line = past.lines.find((each) => each.instance === this.line.instance);
        this.past = past;
        if (line) this.line = { ...line, bounds: line.bounds || this.line.bounds };
        else this.line = { ...this.line, t: [], v: [], bands: [] };
        this.zoomed = true;
        this.draw();
        this.told.textContent = `${moment(from / 1000)} to ${moment(to / 1000)}`;
      } catch {
        this.told.textContent = "This could not be asked for just now.";
      }
    }

    reset() {
      this.past = this.first;
      this.line = this.first.lines.find((each) => each.instance === this.line.instance && each.metric === this.line.metric);
      this.zoomed = false;
      this.draw();
      this.told.textContent = "All of it";
    }

    onKey(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const last = this.line.t.length - 1;
      const at = this.at ?? last;
      const { from, to } = this.past;
      const middle = this.line.t[at] ?? (from + to) / 2;
      const acts = {
        ArrowLeft: () => this.point(Math.max(0, at - 1)),
        ArrowRight: () => this.point(Math.min(last, at + 1)),
        Home: () => this.point(Math.max(0, this.line.v.findIndex((value) => value !== null))),
        End: () => this.point(Math.max(0, this.line.v.findLastIndex((value) => value !== null))),
        "+": () => this.zoom(middle - (to - from) / 4, middle + (to - from) / 4),
        "-": () => this.zoom(from - (to - from) / 2, Math.min(Date.now(), to + (to - from) / 2)),
        0: () => this.reset(),
        Escape: () => this.reset(),
      };
      const act = acts[event.key === "=" ? "+" : event.key];
      if (!act || last < 0) return;
      event.preventDefault();
      act();
    }

    point(at) {
      const left = this.plot.valToPos(this.line.t[at] / 1000, "x");
      const top = this.plot.valToPos(this.line.v[at] ?? 0, "y");
      this.plot.setCursor({ left, top }, false);
      this.tell(at);
    }

    renew(past, line) {
      this.first = past;
      if (this.zoomed) return;
      this.past = past;
      this.line = line;
      this.draw();
    }
  }

  async function load() {
    let past;
    try { past = await ask({}); } catch { return; }
    const lines = new Map(past.lines.map((line) => [key(line.metric, line.instance), line]));
    for (const figure of box.querySelectorAll("[data-chart]")) {
      const name = key(figure.dataset.metric, figure.dataset.instance);
      const line = lines.get(name);
      if (!line || !line.bounds) continue;
      if (charts.has(name)) charts.get(name).renew(past, line);
      else charts.set(name, new Chart(figure, past, line));
    }
    box.dataset.ready = "";
  }

  let resizing = null;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => { for (const chart of charts.values()) chart.draw(); }, 150);
  });
  for (const query of ["(prefers-color-scheme: dark)", "print"]) {
    matchMedia(query).addEventListener("change", () => {
      for (const chart of charts.values()) chart.draw();
    });
  }
  setInterval(() => { if (!document.hidden) load(); }, RENEW_MS);
  load();
})();

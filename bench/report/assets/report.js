// Draws the plots of the report with uPlot from the JSON in the page, and makes its tables
// sortable. Colours are the style sheet's, looked up at each drawing, so that the plots
// follow the theme.
(function () {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const charts = [];
  const colours = 12;
  const shownAtFirst = 12;

  const metrics = [
    { key: "mb", label: "MB/s" }, { key: "records", label: "records/s" }, { key: "p50", label: "p50, ms" },
    { key: "p99", label: "p99, ms" }, { key: "max", label: "highest, ms" }, { key: "cores", label: "broker CPU, cores" },
  ];
  const kinds = { intended: "from the intended send time", actual: "from the actual send", late: "lateness of the generator", other: "the other way meanwhile" };
  const dashes = { intended: [], actual: [6, 4], late: [2, 3], other: [10, 3, 2, 3] };

  // ---- colours and numbers

  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  function colour(name) {
    probe.style.color = "var(" + name + ")";
    return getComputedStyle(probe).color;
  }
  // Runs of A and of B have a colour for each side, others one for each run.
  const side = (run) => (/(^|\W)A$/.test(run.name) ? 0 : /(^|\W)B$/.test(run.name) ? 1 : -1);
  data.groups.forEach((g) => {
    const sides = g.runs.map(side);
    g.runs.forEach((r, i) => { r.colour = "--c" + (sides.includes(-1) ? i % colours : sides[i]); });
  });

  function digits(v) {
    const a = Math.abs(v);
    if (a >= 1000) return Math.round(v).toLocaleString("en-US");
    return v === 0 ? "0" : v.toFixed(Math.max(0, 2 - Math.floor(Math.log10(a) + 1e-9)));
  }
  // Numbers of an axis are round.
  const round = (v) => (Math.abs(v) >= 1000 ? Math.round(v).toLocaleString("en-US") : String(Number(v.toPrecision(3))));
  function short(v) {
    const a = Math.abs(v);
    if (a >= 1e6) return Number((v / 1e6).toPrecision(3)) + "M";
    if (a >= 1e4) return Number((v / 1e3).toPrecision(3)) + "k";
    return round(v);
  }

  // ---- one chart

  function axis(more) {
    return Object.assign({
      stroke: () => colour("--muted"), font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif",
      labelSize: 20, grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { stroke: () => colour("--line"), size: 5 },
    }, more);
  }
  // below is an axis at the foot of a plot, its label close to its numbers.
  const below = (more) => axis(Object.assign({ size: 30, labelSize: 18 }, more));
  const numbers = (u, values) => values.map((v) => (v === null ? "" : short(v)));
  function sideSize(u, values) {
    const longest = Math.max(2, ...(values || []).map((v) => v.length));
    return longest * 7.2 + 14;
  }

  // A logarithmic axis has its marks at round numbers, more of them to a power of ten the
  // fewer powers there are.
  function logarithmic(u, axis, min, max) {
    const powers = Math.log10(max / min);
    const leads = powers > 2.5 ? [1] : powers > 1.3 ? [1, 3] : powers > 0.6 ? [1, 2, 5] : [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9];
    const marks = [];
    for (let p = Math.floor(Math.log10(min)); p <= Math.ceil(Math.log10(max)); p++) {
      leads.forEach((lead) => {
        const v = Number((lead * Math.pow(10, p)).toPrecision(2));
        if (v >= min && v <= max) marks.push(v);
      });
    }
    return marks;
  }
  // Marks are ours: none is left out of grid, ticks and numbers.
  const every = (u, marks) => marks;
  const byPowers = { splits: logarithmic, filter: every, grid: { stroke: () => colour("--grid"), width: 1, filter: every }, ticks: { stroke: () => colour("--line"), size: 5, filter: every } };
  function around(u, min, max) {
    if (min === null || !(max > 0)) return [0.1, 10];
    return [min / 1.25, max * 1.25];
  }
  // All of a run is shown from its start, a zoom as it was drawn.
  const fromStart = (u, min, max) => [min === u.data[0][0] ? 0 : min, max];
  const fromZero = (u, min, max) => (max > 0 ? [0, max * 1.06] : [0, 1]);

  function chart(box, options, table, heading) {
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    const all = Object.assign({
      width: Math.max(box.clientWidth, 100), height: box.clientWidth < 420 ? 230 : 280, legend: { show: false },
      padding: [10, 12, 0, 0], focus: { alpha: 0.25 },
      cursor: { y: false, points: { size: 7 }, drag: { x: true, y: false } },
    }, options);
    all.hooks = Object.assign({ setCursor: [(u) => point(u, tip, heading)] }, options.hooks);
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", (box.closest(".card").querySelector("h3") || {}).textContent + ": " + all.axes[0].label);
    const u = new uPlot(all, table, box);
    u.over.append(tip);
    u.over.addEventListener("mouseleave", () => { tip.hidden = true; });
    new ResizeObserver(() => {
      if (box.clientWidth > 0 && box.clientWidth !== u.width) u.setSize({ width: box.clientWidth, height: u.height });
    }).observe(box);
    charts.push(u);
    return u;
  }

  // nearest is the place of the value next to idx that is there; -1 outside of the line.
  function nearest(values, idx) {
    for (let d = 0; d < values.length; d++) {
      const before = idx - d >= 0 && values[idx - d] != null;
      const after = idx + d < values.length && values[idx + d] != null;
      if (before || after) {
        if (d > 0 && !(hasAny(values, 0, idx) && hasAny(values, idx, values.length))) return -1;
        return before ? idx - d : idx + d;
      }
    }
    return -1;
  }
  const hasAny = (values, from, to) => values.slice(from, to).some((v) => v != null);

  // point fills the box beside the cursor with the values there, highest first.
  function point(u, tip, heading) {
    const idx = u.cursor.idx;
    if (idx == null || u.cursor.left < 0) { tip.hidden = true; return; }
    const rows = [];
    u.series.forEach((s, i) => {
      if (i === 0 || !s.show) return;
      const at = nearest(u.data[i], idx);
      if (at >= 0) rows.push({ s, v: u.data[i][at] });
    });
    if (rows.length === 0) { tip.hidden = true; return; }
    rows.sort((a, b) => b.v - a.v);
    tip.replaceChildren(Object.assign(document.createElement("b"), { textContent: heading(u.data[0][idx]) }));
    rows.slice(0, 10).forEach(({ s, v }) => {
      const line = document.createElement("div");
      const name = document.createElement("span");
      name.textContent = s.label;
      const value = document.createElement("em");
      value.textContent = digits(v);
      line.append(swatch(s.colour, s.kind), name, value);
      tip.append(line);
    });
    tip.hidden = false;
    const left = u.cursor.left, width = u.over.clientWidth;
    tip.style.left = Math.max(0, Math.min(left + 14, width - tip.offsetWidth)) + "px";
    if (left + 14 + tip.offsetWidth > width) tip.style.left = Math.max(0, left - 14 - tip.offsetWidth) + "px";
    tip.style.top = "6px";
  }

  function swatch(name, kind) {
    const i = document.createElement("i");
    i.className = "swatch " + (kind || "");
    i.style.borderColor = "var(" + name + ")";
    return i;
  }

  function line(label, name, index, kind, more) {
    return Object.assign({
      label, kind, colour: name, run: index, spanGaps: true, width: kind === "late" ? 1.25 : 1.75, dash: dashes[kind] || [],
      stroke: () => colour(name), points: { show: false },
    }, more);
  }

  // ---- over time

  function overTime(figure, group, runs) {
    const box = figure.querySelector(".plot");
    const caption = figure.querySelector("figcaption");
    const there = metrics.filter((m) => runs.some((r) => r.over && r.over[m.key]));
    if (there.length === 0) { figure.remove(); return null; }
    const few = runs.every((r) => (r.time || []).length < 3);
    const table = (key) => uPlot.join(runs.map((r) => [r.time || [], (r.over && r.over[key]) || (r.time || []).map(() => null)]));
    const warm = Math.max(0, ...runs.map((r) => r.warmup || 0));
    const u = chart(box, {
      scales: { x: { time: false, range: fromStart }, y: { range: fromZero } },
      axes: [below({ label: "seconds since the run began", values: numbers }), axis({ values: numbers, size: sideSize })],
      series: [{}].concat(runs.map((r, i) => line(r.name, r.colour, i, "", { points: { show: few, size: 6 } }))),
      hooks: { drawClear: [(u) => shade(u, warm)] },
    }, table(there[0].key), (x) => round(x) + " s");
    const say = document.createElement("span");
    const segments = document.createElement("span");
    segments.className = "segments";
    there.forEach((m, i) => {
      const b = Object.assign(document.createElement("button"), { type: "button", textContent: m.label });
      b.setAttribute("aria-pressed", String(i === 0));
      b.addEventListener("click", () => {
        segments.querySelectorAll("button").forEach((x) => x.setAttribute("aria-pressed", String(x === b)));
        u.setData(table(m.key));
      });
      segments.append(b);
    });
    say.textContent = "Over time";
    caption.replaceChildren(say, segments);
    return u;
  }

  // shade marks the warm-up, which no figure of a table counts.
  function shade(u, until) {
    if (!(until > 0) || u.scales.x.min == null) return;
    const left = u.bbox.left, right = Math.min(u.valToPos(until, "x", true), left + u.bbox.width);
    if (right <= left) return;
    const ctx = u.ctx;
    ctx.save();
    ctx.fillStyle = colour("--shade");
    ctx.fillRect(left, u.bbox.top, right - left, u.bbox.height);
    ctx.fillStyle = colour("--muted");
    ctx.font = 11 * uPlot.pxRatio + "px system-ui, sans-serif";
    ctx.textAlign = "left";
    ctx.textBaseline = "bottom";
    if (ctx.measureText("warm-up").width < right - left) ctx.fillText("warm-up", left + 4 * uPlot.pxRatio, u.bbox.top + u.bbox.height - 3 * uPlot.pxRatio);
    ctx.restore();
  }

  // ---- latency

  const finest = 0.001; // ms: below a microsecond there is nothing to compare
  const places = [[Math.log10(2), "p50"], [1, "p90"], [2, "p99"], [3, "p99.9"], [4, "p99.99"], [5, "p99.999"], [6, "p99.9999"]];

  // apart are the places whose names have room beside each other and before the edge.
  function apart(u, most) {
    const width = Math.max(u.width - 70, 100) / most, out = [];
    places.forEach(([x]) => {
      const last = out.length ? out[out.length - 1] : -1;
      if ((x - last) * width >= 52 && (most - x) * width >= 14) out.push(x);
    });
    return out;
  }

  function percentile(nines) {
    const p = 100 * (1 - Math.pow(10, -nines));
    return "p" + Number(p.toFixed(Math.max(0, Math.min(6, Math.ceil(nines)))));
  }

  function latency(figure, group, runs) {
    const lines = [];
    runs.forEach((r, i) => (r.latency || []).forEach((l) => {
      // Lateness is told where there are few lines; elsewhere the tables have it.
      if (l.kind !== "late" || runs.length <= 2) lines.push({ r, i, l });
    }));
    if (lines.length === 0) { figure.remove(); return null; }
    const most = Math.max(...lines.map(({ l }) => l.x[l.x.length - 1] || 0));
    const used = Object.keys(kinds).filter((k) => lines.some(({ l }) => l.kind === k));
    const dashed = used.length > 1;
    const u = chart(figure.querySelector(".plot"), {
      scales: { x: { time: false, range: (u, min, max) => [min, max] }, y: { distr: 3, range: (u, min, max) => around(u, Math.max(min, finest), max) } },
      axes: [
        below({ label: "percentile", splits: (u) => apart(u, most), values: (u, at) => at.map((x) => places.find((p) => p[0] === x)[1]), space: 20 }),
        axis(Object.assign({ values: numbers, size: sideSize }, byPowers)),
      ],
      series: [{}].concat(lines.map(({ r, i, l }) => line(!dashed ? r.name : runs.length === 1 ? kinds[l.kind] : r.name + ", " + kinds[l.kind], r.colour, i, dashed ? l.kind : ""))),
    }, uPlot.join(lines.map(({ l }) => [l.x, l.y])), (x) => percentile(x) + ", ms");
    u.kinds = dashed ? used : [];
    if (!dashed) figure.querySelector("figcaption").append(Object.assign(document.createElement("small"), { textContent: kinds[used[0]] }));
    return u;
  }

  // ---- the names below a group's plots

  function legend(list, runs, plots, used) {
    const hidden = runs.map((r, i) => i >= shownAtFirst);
    const apply = (i) => plots.forEach((u) => u.series.forEach((s, n) => { if (n > 0 && s.run === i) u.setSeries(n, { show: !hidden[i] }); }));
    runs.forEach((r, i) => {
      const item = document.createElement("li");
      const b = Object.assign(document.createElement("button"), { type: "button" });
      b.append(swatch(r.colour), r.name);
      const show = () => { b.setAttribute("aria-pressed", String(!hidden[i])); apply(i); };
      b.addEventListener("click", () => { hidden[i] = !hidden[i]; show(); });
      b.addEventListener("mouseenter", () => focus(plots, i));
      b.addEventListener("mouseleave", () => focus(plots, -1));
      show();
      item.append(b);
      list.append(item);
    });
    if (used.length === 0) return;
    const lines = document.createElement("li");
    lines.className = "lines";
    used.forEach((k) => {
      const s = document.createElement("span");
      s.append(swatch("--muted", k), kinds[k]);
      lines.append(s);
    });
    list.append(lines);
  }
  function focus(plots, run) {
    plots.forEach((u) => u.series.forEach((s, n) => {
      if (n > 0) { s.alpha = run < 0 || s.run === run ? 1 : 0.2; }
    }));
    plots.forEach((u) => u.redraw(false));
  }

  document.querySelectorAll("[data-group]").forEach((card) => {
    const group = data.groups[Number(card.dataset.group)];
    const time = overTime(card.querySelector('[data-plot="time"]'), group, group.runs);
    const curves = latency(card.querySelector('[data-plot="latency"]'), group, group.runs);
    legend(card.querySelector(".legend"), group.runs, [time, curves].filter(Boolean), curves ? curves.kinds : []);
  });

  // ---- growth

  document.querySelectorAll("[data-curve]").forEach((card) => {
    const c = data.curves[Number(card.dataset.curve)];
    const wide = (values) => Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) >= 50;
    const known = c.y.concat(c.floor || []).filter((v) => v > 0);
    const logX = wide(c.x), logY = known.length === c.y.length + (c.floor || []).length && wide(known);
    const series = [{}, line("measured", "--c0", 0, "", { points: { show: true, size: 7 } })];
    const table = [c.x, c.y];
    if (c.floor) {
      series.push(line("floor", "--c1", 1, "actual", { points: { show: true, size: 5 } }));
      table.push(c.floor);
    }
    chart(card.querySelector(".plot"), {
      scales: { x: logX ? { time: false, distr: 3, range: around } : { time: false }, y: logY ? { distr: 3, range: around } : { range: fromZero } },
      axes: [
        below(logX ? { label: c.xLabel, values: numbers, splits: () => c.x, filter: every } : { label: c.xLabel, values: numbers }),
        axis(logY ? { values: numbers, filter: logarithmic, size: sideSize } : { values: numbers, size: sideSize }),
      ],
      series,
    }, table, (x) => round(x) + " " + c.xLabel);
    if (!c.floor) return;
    const list = Object.assign(document.createElement("ul"), { className: "legend" });
    const item = Object.assign(document.createElement("li"), { className: "lines" });
    [["measured", "--c0", ""], ["floor", "--c1", "actual"]].forEach(([name, c, kind]) => {
      const s = document.createElement("span");
      s.append(swatch(c, kind), name);
      item.append(s);
    });
    list.append(item);
    card.querySelector("figure").append(list);
  });

  // ---- theme

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => charts.forEach((u) => u.redraw(false));
  dark.addEventListener("change", redraw);
  document.getElementById("theme").addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
    root.dataset.theme = isDark ? "light" : "dark";
    redraw();
  });

  // ---- tables

  document.querySelectorAll("thead").forEach((head) => {
    const body = head.parentElement.tBodies[0];
    [...head.rows[0].cells].forEach((th, column) => th.querySelector("button").addEventListener("click", () => {
      const numeric = th.classList.contains("n");
      const first = numeric ? "descending" : "ascending";
      const next = th.getAttribute("aria-sort") === first ? (numeric ? "ascending" : "descending") : first;
      [...head.rows[0].cells].forEach((x) => x.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const value = (row) => Number(row.cells[column].dataset.sort);
      const rows = [...body.rows].sort((a, b) => {
        if (!numeric) return sign * a.cells[column].textContent.localeCompare(b.cells[column].textContent, "en", { numeric: true });
        const x = value(a), y = value(b);
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y); // what is not known stands last
        return sign * (x - y);
      });
      body.append(...rows);
    }));
  });
  document.getElementById("filter").addEventListener("input", (e) => {
    const wanted = e.target.value.trim().toLowerCase();
    document.querySelectorAll("#tables tbody tr").forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(wanted); });
  });
})();

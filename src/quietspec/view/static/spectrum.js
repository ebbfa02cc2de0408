// A spectrum and its residual: input, smoothed input, estimate with its ±1σ band, lines, masked pixels.

import uPlot from "./vendor/uPlot.js";
import { theme, withAlpha } from "./colours.js";
import { apart, visibleMarks } from "./linemarks.js";
import { percentiles, smoothed, tickText } from "./numbers.js";
import { axisOf, observedAt } from "./waves.js";

const FONT = "11px system-ui, sans-serif";
const LEFT_OUT = 4; // bits of the mask
const MASKED = 2;
const STRIP = 4; // CSS pixels
const DETAIL = 1400; // Å; weak lines are named where less is seen

export class SpectrumPlot {
  constructor(main, residual, { onRange, onCursor }) {
    this.places = { main, residual };
    main.plot = this;
    this.onRange = onRange;
    this.onCursor = onCursor;
    this.view = { axis: "observed", line: null, smooth: 9, range: null, index: null, shown: {} };
    this.layers = [];
    this.residuals = new Map();
  }

  // `layers`: for each file { about, data, name }, the first with all of its parts, the second with its estimate only.
  set({ layers, marks, view }) {
    if (layers) this.layers = layers.filter((layer) => layer && layer.data && (layer.data.flux || layer.data.input));
    if (marks) this.marks = marks;
    if (view) Object.assign(this.view, view);
    this.redraw();
  }

  redraw() {
    if (!this.layers.length) return this.clear();
    const { data, about } = this.layers[0];
    this.axis = axisOf(this.view.axis, data.redshift, about.medium, this.view.line);
    this.columns = this.compose();
    const known = JSON.stringify([this.columns.kinds, this.axis.label, about.unit, this.places.main.clientWidth > 0]);
    if (!this.plot || this.known !== known) this.build(known);
    const range = this.xRange();
    this.plot.batch(() => {
      this.plot.setData(this.columns.main, false);
      this.plot.setScale("x", { min: range[0], max: range[1] });
    });
    this.rest.batch(() => {
      this.rest.setData(this.columns.residual, false);
      this.rest.setScale("x", { min: range[0], max: range[1] });
    });
  }

  clear() {
    for (const plot of [this.plot, this.rest]) if (plot) plot.destroy();
    this.plot = this.rest = null;
  }

  // Series as uPlot takes them: null where there is nothing, also at the ends of stretches, so that no line crosses a gap.
  compose() {
    const { shown } = this.view;
    const x = this.horizontal(this.layers[0].about.wavelength);
    const main = [x];
    const residual = [x];
    const kinds = [];
    const add = (kind, values, gaps) => {
      kinds.push(kind);
      main.push(listed(values, gaps));
    };
    this.residualKinds = [];
    this.layers.forEach((layer, number) => {
      const { data, about } = layer;
      const values = number ? (array) => array && regridded(array, about, this.layers[0].about) : (array) => array;
      const gaps = this.layers[0].about.gaps || [];
      if (!number && data.input && shown.input !== false) add("input", data.input, gaps);
      if (!number && data.input && shown.smooth !== false) add("smooth", smoothed(data.input, this.view.smooth), gaps);
      const flux = values(data.flux);
      if (flux && shown.band !== false && data.sigma) {
        const sigma = values(data.sigma);
        add(`low${number}`, flux.map((f, k) => f - sigma[k]), gaps);
        add(`high${number}`, flux.map((f, k) => f + sigma[k]), gaps);
      }
      if (flux && data.sigma_independent && shown.band !== false && !number) {
        add("inner low", flux.map((f, k) => f - data.sigma_independent[k]), gaps);
        add("inner high", flux.map((f, k) => f + data.sigma_independent[k]), gaps);
      }
      if (flux && shown.estimate !== false) add(`estimate${number}`, flux, gaps);
      if (number && !flux && data.input) add("estimate1", smoothed(values(data.input), this.view.smooth), gaps);
      if (!number && flux && data.input) {
        const rest = data.input.map((value, k) => value - flux[k]);
        this.residualKinds.push("input", "smooth");
        residual.push(listed(rest, gaps), listed(smoothed(rest, this.view.smooth), gaps));
        this.spread = percentiles(rest, [4, 96]);
      } else if (!number && data.input && data.input_sigma) {
        this.residualKinds.push("error");
        residual.push(listed(data.input_sigma, gaps));
        this.spread = [0, percentiles(data.input_sigma, [97])[0]];
      }
    });
    if (residual.length === 1) {
      residual.push(x.map(() => null));
      this.residualKinds.push("none");
      this.spread = [-1, 1];
    }
    return { main, residual, kinds };
  }

  // The wavelengths as the axis shows them, kept until it changes.
  horizontal(wavelength) {
    const { data } = this.layers[0];
    const known = `${this.axis.label} ${data.redshift}`;
    if (this.drawn?.known !== known || this.drawn.wavelength !== wavelength) {
      this.drawn = { known, wavelength, x: Array.from(wavelength, this.axis.to) };
    }
    return this.drawn.x;
  }

  xRange() {
    const x = this.columns.main[0];
    const { range } = this.view;
    if (!range) return [x[0], x[x.length - 1]];
    return range.map(this.axis.to);
  }

  series(kind, colours) {
    const second = kind.endsWith("1");
    const colour = second ? colours.second : colours.accent;
    const base = { points: { show: false }, spanGaps: false, scale: "y" };
    if (kind === "input") return { ...base, stroke: colours.input, width: 0.8, paths: uPlot.paths.stepped({ align: 0 }) };
    if (kind === "smooth") return { ...base, stroke: colours.smooth, width: 1.1 };
    if (kind === "error") return { ...base, stroke: colours.smooth, width: 1 };
    if (kind === "inner low" || kind === "inner high") return { ...base, stroke: withAlpha(colour, 0.7), width: 0.8, dash: [4, 4] };
    if (kind.startsWith("low") || kind.startsWith("high")) return { ...base, stroke: withAlpha(colour, 0.45), width: 0.7 };
    if (kind === "none") return { ...base, stroke: "transparent" };
    return { ...base, stroke: colour, width: 1.6 };
  }

  build(known) {
    this.clear();
    this.known = known;
    const colours = theme();
    const { kinds } = this.columns;
    const bands = [0, 1].filter((n) => kinds.includes(`high${n}`)).map((n) => ({
      series: [kinds.indexOf(`high${n}`) + 1, kinds.indexOf(`low${n}`) + 1],
      fill: withAlpha(n ? colours.second : colours.accent, 0.28),
    }));
    const unit = this.layers[0].about.unit;
    this.plot = this.make(this.places.main, {
      kinds, bands, colours, label: `Flux${unit ? ` [${unit}]` : ""}`, range: () => this.yRange(), bottom: false,
      draw: [(plot) => this.drawMasked(plot, colours), (plot) => this.drawMarks(plot, colours)],
    });
    const words = this.residualKinds[0] === "error" ? "Quoted error" : "Input − estimate";
    this.rest = this.make(this.places.residual, {
      kinds: this.residualKinds, bands: [], colours, label: words, range: () => this.residualRange(), bottom: true,
      draw: [(plot) => this.drawZero(plot, colours)],
    });
    this.plot.setData(this.columns.main, false);
    this.rest.setData(this.columns.residual, false);
  }

  make(place, { kinds, bands, colours, label, range, bottom, draw }) {
    const grid = { stroke: colours.faint, width: 1 };
    const axis = { stroke: colours.soft, font: FONT, labelFont: FONT, grid, ticks: { stroke: colours.soft, width: 1, size: 4 } };
    const options = {
      width: Math.max(200, place.clientWidth),
      height: Math.max(60, place.clientHeight),
      padding: [8, 22, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: "spectrum", setSeries: false }, drag: { x: true, y: false, setScale: false }, points: { show: false }, y: false },
      select: { show: true },
      scales: { x: { time: false, range: (_, low, high) => [low, high] }, y: { range } },
      series: [{}, ...kinds.map((kind) => this.series(kind, colours))],
      bands,
      axes: [
        { ...axis, size: bottom ? 24 : 8, label: bottom ? this.axis.label : undefined, labelSize: 18, space: 70, values: bottom ? ticked : (_, ticks) => ticks.map(() => "") },
        { ...axis, label, labelSize: 18, size: 56, space: bottom ? 26 : 36, values: ticked },
      ],
      hooks: {
        draw,
        setSelect: [(plot) => this.selected(plot)],
        setCursor: [(plot) => this.onCursor(plot.cursor.idx)],
      },
    };
    const plot = new uPlot(options, undefined, place);
    plot.over.addEventListener("dblclick", () => this.onRange(null));
    return plot;
  }

  selected(plot) {
    const { left, width } = plot.select;
    if (width < 6) return;
    const ends = [left, left + width].map((px) => this.axis.from(plot.posToVal(px, "x")));
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.onRange(ends);
  }

  // Heights by the estimate and its band and the smoothed input, not by the noise.
  yRange() {
    const { main, kinds } = this.columns;
    const [from, to] = this.xRange();
    const low = [];
    const high = [];
    main.slice(1).forEach((values, k) => {
      if (kinds[k] === "input" && kinds.length > 1) return;
      const inside = [];
      for (let j = 0; j < values.length; j++) if (values[j] !== null && main[0][j] >= from && main[0][j] <= to) inside.push(values[j]);
      if (!inside.length) return;
      const rough = kinds[k] === "smooth" || kinds[k] === "input";
      const ends = rough ? percentiles(inside, [1.5, 98.5]) : extremes(inside);
      low.push(ends[0]);
      high.push(ends[1]);
    });
    if (!low.length) return [0, 1];
    const bottom = Math.min(...low);
    const top = Math.max(...high);
    const pad = 0.08 * (top - bottom) || Math.abs(top) * 0.05 || 1;
    return [bottom - pad, top + pad * (this.view.shown.lines === false ? 1 : 3.2)];
  }

  residualRange() {
    const reach = Math.max(Math.abs(this.spread[0]), Math.abs(this.spread[1])) || 1;
    return this.residualKinds[0] === "error" ? [0, 1.15 * reach] : [-1.25 * reach, 1.25 * reach];
  }

  drawZero(plot, colours) {
    if (this.residualKinds[0] === "error") return;
    const y = Math.round(plot.valToPos(0, "y", true)) + 0.5;
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = this.layers[0].data.flux ? colours.accent : colours.soft;
    ctx.lineWidth = window.devicePixelRatio || 1;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.restore();
  }

  // A strip at the foot of the plot: what was masked in the input, and what the model left out.
  drawMasked(plot, colours) {
    const { mask, input } = this.layers[0].data;
    if (this.view.shown.lines === false && !mask) return;
    const { ctx, bbox } = plot;
    const x = this.columns.main[0];
    const ratio = window.devicePixelRatio || 1;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const kind = (k) => (mask ? (mask[k] & LEFT_OUT ? colours.amber : mask[k] & MASKED ? colours.soft : null) : input && !(input[k] === input[k]) ? colours.soft : null);
    let start = null;
    let colour = null;
    for (let k = 0; k <= x.length; k++) {
      const here = k < x.length ? kind(k) : null;
      if (here === colour) continue;
      if (colour) {
        const from = plot.valToPos(x[Math.max(0, start)] - 0.5 * (x[1] - x[0]), "x", true);
        const to = plot.valToPos(x[k - 1] + 0.5 * (x[1] - x[0]), "x", true);
        ctx.fillStyle = colour;
        ctx.fillRect(from, bbox.top + bbox.height - STRIP * ratio, Math.max(1, to - from), STRIP * ratio);
        if (colour === colours.amber) {
          ctx.fillStyle = withAlpha(colour, 0.1);
          ctx.fillRect(from, bbox.top, Math.max(1, to - from), bbox.height);
        }
      }
      start = k;
      colour = here;
    }
    ctx.restore();
  }

  // Lines with their names, where there are data; names that would overlap are left out, those of weak lines first.
  drawMarks(plot, colours) {
    const { ctx, bbox } = plot;
    const ratio = window.devicePixelRatio || 1;
    const placed = this.placedMarks(plot, ratio);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    this.drawIndex(plot, colours);
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    ctx.textBaseline = "middle";
    for (const { px, name, kind } of placed) {
      ctx.strokeStyle = withAlpha(kind === "emission" ? colours.amber : colours.soft, 0.5);
      ctx.lineWidth = ratio;
      ctx.setLineDash([1 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(px, bbox.top);
      ctx.lineTo(px, bbox.top + bbox.height);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.fillStyle = colours.panel;
      ctx.save();
      ctx.translate(px, bbox.top + 4 * ratio);
      ctx.rotate(-Math.PI / 2);
      ctx.textAlign = "right";
      ctx.lineWidth = 4 * ratio;
      ctx.strokeStyle = colours.panel;
      ctx.strokeText(name, 0, 0);
      ctx.fillStyle = kind === "emission" ? colours.ink : colours.soft;
      ctx.fillText(name, 0, 0);
      ctx.restore();
    }
    ctx.restore();
  }

  placedMarks(plot, ratio) {
    if (this.view.shown.lines === false || !this.marks) return [];
    const { bbox } = plot;
    const [from, to] = this.xRange().map(this.axis.from);
    const found = visibleMarks(this.marks, this.layers[0], (w) => plot.valToPos(this.axis.to(w), "x", true))
      .filter(({ px, strong }) => (strong || to - from < DETAIL) && px > bbox.left + 6 * ratio && px < bbox.left + bbox.width - 4 * ratio);
    return apart(found, 14 * ratio);
  }

  drawIndex(plot, colours) {
    const { index } = this.view;
    if (!index) return;
    const { data, about } = this.layers[0];
    const { ctx, bbox } = plot;
    index.bands.forEach((band, k) => {
      const [from, to] = band.map((w) => plot.valToPos(this.axis.to(observedAt(w, data.redshift, about.medium)), "x", true));
      const side = index.bands.length > 2 && k !== 1;
      ctx.fillStyle = withAlpha(side ? colours.soft : colours.accent, 0.14);
      ctx.fillRect(from, bbox.top, to - from, bbox.height);
    });
  }

  resize() {
    const { main, residual } = this.places;
    if (!this.plot) return;
    this.plot.setSize({ width: Math.max(200, main.clientWidth), height: Math.max(60, main.clientHeight) });
    this.rest.setSize({ width: Math.max(200, residual.clientWidth), height: Math.max(60, residual.clientHeight) });
  }

  restyle() {
    this.known = null;
    this.redraw();
  }
}

const ticked = (_, ticks) => ticks.map((tick) => tickText(tick, ticks));

function extremes(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

function listed(values, gaps) {
  const result = new Array(values.length);
  for (let k = 0; k < values.length; k++) result[k] = values[k] === values[k] ? values[k] : null;
  for (const end of gaps) result[end - 1] = null;
  return result;
}

// Values of another file on the pixels of the first, linearly; null beyond its ends.
function regridded(values, from, to) {
  const x = from.wavelength;
  if (x.length === to.wavelength.length && x[0] === to.wavelength[0]) return values;
  let k = 0;
  return Float32Array.from(to.wavelength, (w) => {
    if (w < x[0] || w > x[x.length - 1]) return NaN;
    while (k < x.length - 2 && x[k + 1] < w) k++;
    const t = (w - x[k]) / (x[k + 1] - x[k]);
    return values[k] + t * (values[k + 1] - values[k]);
  });
}

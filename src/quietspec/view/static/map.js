// A map on the sky: an image of one number per spaxel, with axes, compass, colour bar, flags and regions.

import { colourTable, theme } from "./colours.js";
import { percentiles, tickText, ticksBetween } from "./numbers.js";
import { drawBin, drawName, drawShape } from "./shapes.js";

const FONT = "11px system-ui, sans-serif";
const MARGIN = { left: 46, bottom: 36, top: 10, right: 70 };
const BAR = { gap: 10, width: 11 };

export const SCALES = {
  linear: { to: (t) => t, from: (t) => t },
  asinh: { to: (t) => Math.asinh(10 * t) / Math.asinh(10), from: (t) => Math.sinh(t * Math.asinh(10)) / 10 },
  log: { to: (t) => Math.log10(1 + 999 * t) / 3, from: (t) => (10 ** (3 * t) - 1) / 999 },
};

export function autoLimits(values, diverging) {
  const [low, high] = percentiles(values, [2, 98]);
  if (!Number.isFinite(low)) return [0, 1];
  if (diverging) {
    const middle = percentiles(values, [50])[0];
    const reach = Math.max(high - middle, middle - low) || 1;
    const centre = Math.abs(middle) < reach ? 0 : middle;
    return [centre - reach, centre + reach];
  }
  return high > low ? [low, high] : [low - 0.5, low + 0.5];
}

export class SkyMap {
  constructor(canvas, { shape, sky }) {
    this.canvas = canvas;
    canvas.map = this;
    [this.ny, this.nx] = shape;
    this.sky = sky;
    this.window = { x0: -0.5, x1: this.nx - 0.5, y0: -0.5, y1: this.ny - 0.5 };
    this.options = { colours: "cividis", scale: "linear", low: 0, high: 1 };
    this.values = null;
    this.flags = null;
    this.hatched = 0;
    this.overlay = { row: null, cursor: null, region: null, draft: null, bins: [], marks: [] };
    this.picture = document.createElement("canvas");
    this.picture.width = this.nx;
    this.picture.height = this.ny;
  }

  set(changes) {
    Object.assign(this, changes);
    this.paint();
    this.draw();
  }

  fraction(value) {
    const { low, high, scale } = this.options;
    const t = Math.min(1, Math.max(0, (value - low) / (high - low || 1)));
    return SCALES[scale].to(t);
  }

  // Colours of all spaxels, one canvas pixel each.
  paint() {
    if (!this.values) return;
    const context = this.picture.getContext("2d");
    const image = context.createImageData(this.nx, this.ny);
    const table = colourTable(this.options.colours);
    for (let y = 0; y < this.ny; y++) {
      for (let x = 0; x < this.nx; x++) {
        const value = this.values[y * this.nx + x];
        const place = 4 * ((this.ny - 1 - y) * this.nx + x);
        if (!Number.isFinite(value)) continue;
        const colour = table[Math.round(255 * this.fraction(value))];
        image.data[place] = colour[0];
        image.data[place + 1] = colour[1];
        image.data[place + 2] = colour[2];
        image.data[place + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
  }

  // Place and size of the image within the canvas, in CSS pixels.
  layout() {
    const width = this.canvas.clientWidth;
    const { x0, x1, y0, y1 } = this.window;
    const aspect = (y1 - y0) / (x1 - x0) * this.stretch();
    const inner = Math.max(60, width - MARGIN.left - MARGIN.right);
    const wanted = inner * Math.min(1.6, Math.max(0.25, aspect));
    const most = this.tallest || Math.max(220, 0.62 * window.innerHeight);
    const height = Math.min(wanted, most);
    const shown = Math.min(inner, height / aspect);
    return { left: MARGIN.left, top: MARGIN.top, width: shown, height: shown * aspect, whole: width };
  }

  stretch() {
    return this.sky ? this.sky.arcsec[1] / this.sky.arcsec[0] : 1;
  }

  // Draw it all; `overlay` alone leaves what does not change as it is.
  draw() {
    this.still = null;
    this.drawOver();
  }

  drawOver() {
    if (!this.canvas.clientWidth) return; // hidden
    const box = this.layout();
    const total = MARGIN.top + box.height + MARGIN.bottom;
    const ratio = window.devicePixelRatio || 1;
    const pixels = [Math.round(box.whole * ratio), Math.round(total * ratio)];
    if (this.canvas.width !== pixels[0] || this.canvas.height !== pixels[1]) {
      [this.canvas.width, this.canvas.height] = pixels;
      this.canvas.style.height = `${total}px`;
      this.still = null;
    }
    this.box = box;
    if (!this.still) this.drawStill(pixels, ratio);
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.still, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.width, box.height);
    context.clip();
    this.drawOverlay(context);
    context.restore();
  }

  drawStill([width, height], ratio) {
    this.still = document.createElement("canvas");
    [this.still.width, this.still.height] = [width, height];
    const context = this.still.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const box = this.box;
    const colours = theme();
    context.fillStyle = colours.panel;
    context.fillRect(0, 0, box.whole, MARGIN.top + box.height + MARGIN.bottom);
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.width, box.height);
    context.clip();
    context.fillStyle = colours.void;
    context.fillRect(box.left, box.top, box.width, box.height);
    if (this.values) this.drawImage(context);
    if (this.flags && this.hatched) this.drawFlags(context);
    context.restore();
    this.drawFrame(context, colours);
    if (this.values) this.drawBar(context, colours);
  }

  drawImage(context) {
    const { x0, x1, y0, y1 } = this.window;
    context.imageSmoothingEnabled = false;
    const { left, top, width, height } = this.box;
    const source = [x0 + 0.5, this.ny - 0.5 - y1, x1 - x0, y1 - y0];
    context.drawImage(this.picture, ...source, left, top, width, height);
  }

  drawFlags(context) {
    const path = new Path2D();
    const cell = this.box.width / (this.window.x1 - this.window.x0);
    const tall = this.box.height / (this.window.y1 - this.window.y0);
    for (let row = 0; row < this.flags.length; row++) {
      if (!(this.flags[row] & this.hatched)) continue;
      const [px, py] = this.toCanvas((row % this.nx) - 0.5, Math.floor(row / this.nx) + 0.5);
      path.rect(px, py, cell, tall);
    }
    context.save();
    context.clip(path);
    for (const [colour, width] of [["rgba(0,0,0,0.55)", 1.7], ["rgba(255,255,255,0.9)", 0.8]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      const { left, top, height } = this.box;
      for (let k = -height; k < this.box.width; k += 5) {
        context.moveTo(left + k, top + height);
        context.lineTo(left + k + height, top);
      }
      context.stroke();
    }
    context.restore();
  }

  drawOverlay(context) {
    const { row, cursor, region, draft, bins, marks } = this.overlay;
    bins.forEach((shape, k) => drawBin(this, context, shape, String(k + 1)));
    for (const shape of [region, draft]) if (shape) drawShape(this, context, shape, shape === draft);
    for (const mark of marks) this.drawMark(context, mark);
    if (row !== null) this.drawCell(context, row, 2);
    if (cursor !== null && cursor !== row) this.drawCell(context, cursor, 1);
  }

  drawCell(context, row, width) {
    const [px, py] = this.toCanvas((row % this.nx) - 0.5, Math.floor(row / this.nx) + 0.5);
    const [qx, qy] = this.toCanvas((row % this.nx) + 0.5, Math.floor(row / this.nx) - 0.5);
    const grow = Math.max(0, (7 - (qx - px)) / 2);
    for (const [colour, line] of [["rgba(0,0,0,0.9)", width + 2], ["#ffffff", width]]) {
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.strokeRect(px - grow, py - grow, qx - px + 2 * grow, qy - py + 2 * grow);
    }
  }

  drawMark(context, { row, text }) {
    this.drawCell(context, row, 1);
    drawName(this, context, text, (row % this.nx) + 0.8, Math.floor(row / this.nx) + 0.3);
  }

  toCanvas(x, y) {
    const { left, top, width, height } = this.box;
    const { x0, x1, y0, y1 } = this.window;
    return [left + ((x - x0) / (x1 - x0)) * width, top + ((y1 - y) / (y1 - y0)) * height];
  }

  toSpaxel(event) {
    const frame = this.canvas.getBoundingClientRect();
    const { left, top, width, height } = this.box;
    const { x0, x1, y0, y1 } = this.window;
    const x = x0 + ((event.clientX - frame.left - left) / width) * (x1 - x0);
    const y = y1 - ((event.clientY - frame.top - top) / height) * (y1 - y0);
    return { x, y, inside: x > x0 && x < x1 && y > y0 && y < y1 };
  }

  rowAt({ x, y, inside }) {
    const [column, line] = [Math.round(x), Math.round(y)];
    const within = inside && column >= 0 && column < this.nx && line >= 0 && line < this.ny;
    return within ? line * this.nx + column : null;
  }

  // Zoom by a factor about a place, within the image.
  zoom(factor, { x, y }) {
    const { x0, x1, y0, y1 } = this.window;
    const whole = factor > 1 && (x1 - x0) * factor >= this.nx;
    if (whole || (x1 - x0) * factor < 4) {
      if (whole) this.window = { x0: -0.5, x1: this.nx - 0.5, y0: -0.5, y1: this.ny - 0.5 };
    } else {
      const w = (x1 - x0) * factor;
      const h = (y1 - y0) * factor;
      const left = Math.min(this.nx - 0.5 - w, Math.max(-0.5, x - (x - x0) * factor));
      const low = Math.min(this.ny - 0.5 - h, Math.max(-0.5, y - (y - y0) * factor));
      this.window = { x0: left, x1: left + w, y0: low, y1: low + h };
    }
    this.draw();
  }

  drawFrame(context, colours) {
    const { left, top, width, height } = this.box;
    context.strokeStyle = colours.soft;
    context.lineWidth = 1;
    context.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
    if (this.plain) return; // a block of spectra has no places
    context.font = FONT;
    context.fillStyle = colours.soft;
    const centre = [(this.nx - 1) / 2, (this.ny - 1) / 2];
    const size = this.sky ? this.sky.arcsec : [1, 1];
    const offset = (value, axis) => (this.sky ? (value - centre[axis]) * size[axis] : value);
    const place = (shown, axis) => (this.sky ? shown / size[axis] + centre[axis] : shown);
    const { x0, x1, y0, y1 } = this.window;
    const across = ticksBetween(offset(x0, 0), offset(x1, 0), Math.max(2, width / 70));
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const tick of across) {
      const [px] = this.toCanvas(place(tick, 0), y0);
      context.fillRect(px - 0.5, top + height, 1, 4);
      context.fillText(tickText(tick, across), px, top + height + 6);
    }
    const up = ticksBetween(offset(y0, 1), offset(y1, 1), Math.max(2, height / 60));
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const tick of up) {
      const [, py] = this.toCanvas(x0, place(tick, 1));
      context.fillRect(left - 4, py - 0.5, 4, 1);
      context.fillText(tickText(tick, up), left - 6, py);
    }
    const unit = this.sky ? "arcsec" : "spaxel";
    context.textAlign = "center";
    context.textBaseline = "top";
    context.fillText(`Δx [${unit}]`.replace(this.sky ? "" : "Δ", ""), left + width / 2, top + height + 20);
    context.save();
    context.translate(9, top + height / 2);
    context.rotate(-Math.PI / 2);
    context.textBaseline = "middle";
    context.fillText(`Δy [${unit}]`.replace(this.sky ? "" : "Δ", ""), 0, 0);
    context.restore();
    if (this.sky) this.drawCompass(context);
  }

  drawCompass(context) {
    const { left, top, width, height } = this.box;
    const arm = Math.min(24, width / 7);
    const { north, east } = this.sky;
    // Keep both arms and letters inside the frame, whatever way they point.
    const tips = [[0, 0], ...[north, east].map(([dx, dy]) => [dx * (arm + 10), -dy * (arm + 10)])];
    const xs = tips.map((tip) => tip[0]);
    const ys = tips.map((tip) => tip[1]);
    const ox = left + width - 12 - Math.max(...xs);
    const oy = top + height - 12 - Math.max(...ys);
    context.font = "600 11px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const [colour, line] of [["rgba(0,0,0,0.75)", 4], ["#ffffff", 1.6]]) {
      context.strokeStyle = colour;
      context.fillStyle = "#ffffff";
      context.lineWidth = line;
      context.lineCap = "round";
      context.beginPath();
      for (const [dx, dy] of [north, east]) {
        context.moveTo(ox, oy);
        context.lineTo(ox + dx * arm, oy - dy * arm);
      }
      context.stroke();
    }
    context.lineWidth = 3;
    context.strokeStyle = "rgba(0,0,0,0.75)";
    for (const [letter, [dx, dy]] of [["N", north], ["E", east]]) {
      const at = [ox + dx * (arm + 8), oy - dy * (arm + 8)];
      context.strokeText(letter, ...at);
      context.fillText(letter, ...at);
    }
  }

  drawBar(context, colours) {
    const { left, top, width, height } = this.box;
    const x = left + width + BAR.gap;
    const table = colourTable(this.options.colours);
    const steps = Math.max(1, Math.round(height));
    for (let k = 0; k < steps; k++) {
      context.fillStyle = `rgb(${table[Math.round((255 * (steps - 1 - k)) / Math.max(1, steps - 1))]})`;
      context.fillRect(x, top + k, BAR.width, 1.5);
    }
    context.strokeStyle = colours.soft;
    context.lineWidth = 1;
    context.strokeRect(x + 0.5, top + 0.5, BAR.width - 1, height - 1);
    const { low, high } = this.options;
    const ticks = this.barTicks(low, high, height);
    context.font = FONT;
    context.fillStyle = colours.soft;
    context.textAlign = "left";
    context.textBaseline = "middle";
    let last = Infinity;
    for (const tick of ticks) {
      const y = top + height * (1 - this.fraction(tick));
      if (last - y < 12) continue;
      last = y;
      context.fillRect(x + BAR.width, y - 0.5, 3, 1);
      context.fillText(tickText(tick, this.options.scale === "linear" ? ticks : [tick]), x + BAR.width + 5, y);
    }
    if (this.label) {
      context.save();
      context.translate(x + BAR.width + 44, top + height / 2);
      context.rotate(-Math.PI / 2);
      context.textAlign = "center";
      context.fillStyle = colours.ink;
      context.fillText(this.label, 0, 0, height);
      context.restore();
    }
  }

  barTicks(low, high, height) {
    if (this.options.scale === "linear") return ticksBetween(low, high, Math.max(2, height / 36));
    const from = SCALES[this.options.scale].from;
    return [0, 0.25, 0.5, 0.75, 1].map((t) => Number((low + from(t) * (high - low)).toPrecision(2)));
  }
}

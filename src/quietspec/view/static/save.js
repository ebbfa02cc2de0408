// What is seen, to take away: PNG and SVG pictures, CSV tables. FITS files come from the server.

import { theme } from "./colours.js";
import { ticksBetween, tickText } from "./numbers.js";

export function download(name, content, type) {
  const address = content instanceof Blob ? URL.createObjectURL(content) : URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

// Several canvases below each other as one picture.
export function picture(canvases) {
  const width = Math.max(...canvases.map((canvas) => canvas.width));
  const height = canvases.reduce((sum, canvas) => sum + canvas.height, 0);
  const whole = document.createElement("canvas");
  [whole.width, whole.height] = [width, height];
  const context = whole.getContext("2d");
  context.fillStyle = theme().panel;
  context.fillRect(0, 0, width, height);
  let top = 0;
  for (const canvas of canvases) {
    context.drawImage(canvas, 0, top);
    top += canvas.height;
  }
  return new Promise((resolve) => whole.toBlob(resolve, "image/png"));
}

export function spectrumCsv(about, data, comment) {
  const names = ["flux", "sigma", "sigma_independent", "input", "input_sigma", "mask"].filter((name) => data[name]);
  const lines = [...comment.map((text) => `# ${text}`), ["wavelength", ...names].join(",")];
  about.wavelength.forEach((w, k) => {
    const cells = names.map((name) => (data[name][k] === data[name][k] ? String(Number(data[name][k].toPrecision(7))) : ""));
    lines.push([w.toFixed(4), ...cells].join(","));
  });
  return `${lines.join("\n")}\n`;
}

// The plotted spectrum and its residual as vectors.
export function spectrumSvg(plot, title) {
  const [width, heights] = [900, [330, 130]];
  const colours = theme();
  const parts = [];
  const panels = [[plot.plot, plot.columns.main, plot.columns.kinds, 30], [plot.rest, plot.columns.residual, plot.residualKinds, 30 + heights[0] + 8]];
  panels.forEach(([uplot, columns, kinds, top], number) => {
    const box = { left: 70, top, width: width - 84, height: heights[number] };
    parts.push(panelSvg(uplot, columns, kinds, box, plot, colours, number === 1));
  });
  const total = 30 + heights[0] + 8 + heights[1] + 48;
  const label = `<text x="${width / 2}" y="${total - 10}" text-anchor="middle">${escaped(plot.axis.label)}</text>`;
  const head = `<text x="70" y="20" font-weight="600">${escaped(title)}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${total}" viewBox="0 0 ${width} ${total}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="${colours.ink}"><rect width="100%" height="100%" fill="${colours.panel}"/>${head}${parts.join("")}${label}</svg>\n`;
}

function panelSvg(uplot, columns, kinds, box, plot, colours, bottom) {
  const { min: x0, max: x1 } = uplot.scales.x;
  const { min: y0, max: y1 } = uplot.scales.y;
  const px = (x) => (box.left + ((x - x0) / (x1 - x0)) * box.width).toFixed(2);
  const py = (y) => (box.top + (1 - (y - y0) / (y1 - y0)) * box.height).toFixed(2);
  const id = bottom ? "rest" : "main";
  const inside = [];
  const [low, high] = [kinds.indexOf("low0"), kinds.indexOf("high0")];
  if (low >= 0) inside.push(`<path d="${bandPath(columns[0], columns[low + 1], columns[high + 1], px, py)}" fill="${colours.accent}" fill-opacity="0.28"/>`);
  kinds.forEach((kind, k) => {
    if (/^(low|high)\d$/.test(kind) || kind === "none") return;
    const style = plot.series(kind, colours);
    const dash = style.dash ? ` stroke-dasharray="4 4"` : "";
    inside.push(`<path d="${linePath(columns[0], columns[k + 1], x0, x1, px, py)}" fill="none" stroke="${style.stroke}" stroke-width="${style.width}"${dash}/>`);
  });
  const across = ticksBetween(x0, x1, 9);
  const up = ticksBetween(y0, y1, bottom ? 4 : 6);
  const ticks = [
    ...across.map((tick) => `<path d="M${px(tick)} ${box.top + box.height}v-5" stroke="${colours.soft}"/>${bottom ? `<text x="${px(tick)}" y="${box.top + box.height + 16}" text-anchor="middle">${tickText(tick, across)}</text>` : ""}`),
    ...up.map((tick) => `<path d="M${box.left} ${py(tick)}h5" stroke="${colours.soft}"/><text x="${box.left - 6}" y="${Number(py(tick)) + 4}" text-anchor="end">${tickText(tick, up)}</text>`),
  ];
  const name = uplot.axes[1].label;
  const side = `<text transform="translate(14 ${box.top + box.height / 2}) rotate(-90)" text-anchor="middle">${escaped(name)}</text>`;
  return `<clipPath id="${id}"><rect x="${box.left}" y="${box.top}" width="${box.width}" height="${box.height}"/></clipPath><g clip-path="url(#${id})">${inside.join("")}</g><rect x="${box.left}" y="${box.top}" width="${box.width}" height="${box.height}" fill="none" stroke="${colours.soft}"/>${ticks.join("")}${side}`;
}

function linePath(x, y, x0, x1, px, py) {
  const parts = [];
  let pen = "M";
  for (let k = 0; k < x.length; k++) {
    if (y[k] === null || x[k] < x0 || x[k] > x1) {
      pen = "M";
      continue;
    }
    parts.push(`${pen}${px(x[k])} ${py(y[k])}`);
    pen = "L";
  }
  return parts.join("");
}

function bandPath(x, low, high, px, py) {
  const parts = [];
  for (let k = 0; k < x.length; k++) {
    if (low[k] === null) continue;
    let end = k;
    while (end + 1 < x.length && low[end + 1] !== null) end++;
    const up = [];
    const down = [];
    for (let j = k; j <= end; j++) {
      up.push(`${px(x[j])} ${py(high[j])}`);
      down.push(`${px(x[j])} ${py(low[j])}`);
    }
    parts.push(`M${up.join("L")}L${down.reverse().join("L")}Z`);
    k = end;
  }
  return parts.join("");
}

const escaped = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

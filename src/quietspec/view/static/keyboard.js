// All that keys do: on the map, and everywhere.

import { keepRegion } from "./bins.js";
import { chooseMap, mark } from "./maps.js";
import { $, page, say, state } from "./page.js";
import { allQuantities } from "./pair.js";
import { nextAxis, setRange, zoomSpectrum } from "./range.js";
import { clearRegion, useTool } from "./regions.js";
import { select } from "./spectra.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export function keysOnMap(event, file) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const [ny, nx] = page.files[0].grid;
  const place = { x: page.cursor % nx, y: Math.floor(page.cursor / nx) };
  if (event.key in ARROWS) {
    const step = event.shiftKey ? 10 : 1;
    const x = Math.min(nx - 1, Math.max(0, place.x + step * ARROWS[event.key][0]));
    const y = Math.min(ny - 1, Math.max(0, place.y + step * ARROWS[event.key][1]));
    page.cursor = Math.min(page.files[0].n_spectra - 1, y * nx + x);
    if (page.drawing.active) {
      mark(page.cursor, "cursor");
      page.drawing.move({ x, y });
      say(`x = ${x}, y = ${y}`);
    } else select(page.cursor);
  } else if (event.key === " ") {
    if (page.drawing.active) page.drawing.corner(place);
  } else if (event.key === "Enter") {
    if (page.drawing.active) page.drawing.finish();
    else select(page.cursor);
  } else if (event.key === "+" || event.key === "=") {
    file.map.zoom(0.8, place);
  } else if (event.key === "-") {
    file.map.zoom(1.25, place);
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

function step(by) {
  const names = allQuantities().map(({ name }) => name);
  const next = names[(names.indexOf(state.map) + by + names.length) % names.length];
  chooseMap(next);
  say(allQuantities().find(({ name }) => name === next).label);
}

const KEYS = {
  m: () => document.querySelector("#canvases canvas")?.focus(),
  s: () => document.querySelector("#axis")?.focus(),
  n: () => step(1),
  p: () => step(-1),
  "+": () => zoomSpectrum(0.6),
  "=": () => zoomSpectrum(0.6),
  "-": () => zoomSpectrum(1 / 0.6),
  ",": () => zoomSpectrum(1, -0.25),
  ".": () => zoomSpectrum(1, 0.25),
  0: () => {
    for (const file of page.files) file.map.zoom(1e9, { x: 0, y: 0 });
    setRange(null);
  },
  a: nextAxis,
  g: () => $("jump").focus(),
  r: () => useTool("rectangle"),
  c: () => useTool("circle"),
  o: () => useTool("polygon"),
  "?": () => $("help").showModal(),
  k: () => keepRegion(),
  Escape: () => {
    if (page.drawing.active) useTool("");
    else if (state.region) clearRegion();
  },
};

export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest && event.target.closest("input, select, dialog, textarea");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (action) {
      action();
      event.preventDefault();
    }
  });
}

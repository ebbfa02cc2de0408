// The page: state, what changes it, and what shows it.

import { COLOUR_MAPS, DIVERGING } from "./colours.js";
import { Server, Withdrawn } from "./data.js";
import { Drawing } from "./drawing.js";
import { element, flagsOf, placeName, showFlags, showLabels, showProvenance } from "./facts.js";
import { readLink, rounded, writeLink } from "./link.js";
import { autoLimits, SkyMap } from "./map.js";
import { parsed, withError, written } from "./numbers.js";
import { download, picture, spectrumCsv, spectrumSvg } from "./save.js";
import { SpectrumPlot } from "./spectrum.js";
import { inVacuum, observedAt } from "./waves.js";

const $ = (id) => document.getElementById(id);
const MILD = ["PRIOR LABELS", "NUCLEUS", "STRONG LINES"]; // say something about the galaxy, not against the result
const server = new Server();
const state = { map: null, colours: null, scale: "linear", low: NaN, high: NaN, row: null, axis: "observed", line: "", index: "", smooth: 9, range: null, region: null, hatch: "doubtful", hide: "", difference: false };
let about = null;
let files = [];
let plot = null;
let drawing = null;
let shown = { spectra: [], region: false }; // what the plot holds
let cursor = 0; // spaxel under the keyboard

// --- beginning ---

async function begin() {
  try {
    about = await server.about();
    about.marks = inVacuum(about.marks);
  } catch (error) {
    return complain(error);
  }
  files = about.files.map((file, number) => ({ ...file, number, flagBits: null, sky: file.sky }));
  Object.assign(state, readLink(location.hash));
  document.body.classList.toggle("pair", files.length === 2);
  title();
  plot = new SpectrumPlot($("plot"), $("residual"), { onRange: setRange, onCursor: readout });
  plot.set({ marks: about.marks });
  drawing = new Drawing({ onDraft: (draft) => overlay({ draft }), onDone: setRegion, say });
  buildMaps();
  fillControls();
  listen();
  await chooseMap(state.map, { keepLimits: Number.isFinite(state.low) });
  await loadFlags();
  if (state.region) await setRegion(state.region);
  else await select(state.row ?? brightest());
  document.body.dataset.ready = "true";
  return undefined;
}

function title() {
  const parts = files.map((file, k) => {
    const swatch = files.length > 1 ? [element("i", { class: k ? "swatch second" : "swatch" })] : [];
    const size = file.shape ? `${file.shape[1]} × ${file.shape[0]} spaxels` : `${file.n_spectra} ${file.n_spectra === 1 ? "spectrum" : "spectra"}`;
    const z = file.redshift ? `, z ${file.redshift.toFixed(4)}` : "";
    return element("span", {}, ...swatch, element("b", {}, file.title || file.name), ` ${file.title ? `${file.name}, ` : ""}${size}${z}`, k + 1 < files.length ? "  ·  " : "");
  });
  $("title").replaceChildren(...parts);
  document.title = `${files.map((file) => file.title || file.name).join(" · ")} – quietspec`;
}

// Spectra that form no image are shown as a block, in the order of their numbers.
function gridOf(file) {
  if (file.shape) return file.shape;
  const nx = Math.ceil(Math.sqrt(file.n_spectra));
  return [Math.ceil(file.n_spectra / nx), nx];
}

function buildMaps() {
  files.forEach((file) => {
    const canvas = element("canvas", { tabIndex: 0, role: "application", "aria-roledescription": "map" });
    canvas.dataset.file = String(file.number);
    const caption = files.length > 1 ? [captionOf(file)] : [];
    $("canvases").append(element("figure", {}, ...caption, canvas));
    file.grid = gridOf(file);
    file.map = new SkyMap(canvas, { shape: file.grid, sky: file.sky });
    file.map.plain = !file.shape;
    listenToMap(file, canvas);
  });
  if (!files[0].shape) $("map-note").textContent = "These spectra form no image: they are shown in the order of their numbers, row by row from the bottom.";
  if (files.length === 2 && !linked()) $("map-note").textContent = "The two images differ in shape: the second is linked by the place on the sky or in the frame.";
  if (files.every((file) => file.n_spectra === 1)) $("maps").hidden = true;
}

function captionOf(file) {
  const caption = element("figcaption", {}, element("i", { class: file.number ? "swatch second" : "swatch" }), file.name);
  if (!file.number || !linkedGrids()) return caption;
  const button = element("button", { type: "button", id: "difference", "aria-pressed": "false" }, "Second − first");
  button.addEventListener("click", () => {
    state.difference = !state.difference;
    button.setAttribute("aria-pressed", String(state.difference));
    chooseMap(state.map, { keepLimits: true });
  });
  caption.append(button);
  return caption;
}

const linkedGrids = () => files.length === 2 && String(gridOf(files[0])) === String(gridOf(files[1]));
const linked = () => files.length === 2 && String(files[0].grid) === String(files[1].grid);

// The spaxel of the second file at the place of one of the first.
function counterpart(row, from, to) {
  if (from === to || linked()) return row;
  const [[ny, nx], [my, mx]] = [from.grid, to.grid];
  const x = Math.min(mx - 1, Math.floor((((row % nx) + 0.5) / nx) * mx));
  const y = Math.min(my - 1, Math.floor(((Math.floor(row / nx) + 0.5) / ny) * my));
  return Math.min(to.n_spectra - 1, y * mx + x);
}

function allQuantities() {
  const found = new Map();
  for (const file of files) for (const quantity of file.quantities) if (!found.has(quantity.name)) found.set(quantity.name, quantity);
  return [...found.values()];
}

function fillControls() {
  const groups = new Map();
  for (const quantity of allQuantities()) {
    if (!groups.has(quantity.group)) groups.set(quantity.group, element("optgroup", { label: quantity.group }));
    groups.get(quantity.group).append(element("option", { value: quantity.name }, quantity.label + (quantity.unit ? ` [${quantity.unit}]` : "")));
  }
  $("quantity").append(...groups.values());
  $("colours").append(...COLOUR_MAPS.map((name) => element("option", { value: name }, name)));
  const jump = { Emission: about.marks.emission, Absorption: about.marks.absorption, Indices: about.marks.indices };
  for (const [label, entries] of Object.entries(jump)) {
    const options = entries.map(({ name }) => element("option", { value: `${label === "Indices" ? "index" : "line"}:${name}` }, name));
    $("jump").append(element("optgroup", { label }, ...options));
  }
  if (!files.some((file) => file.wavelength)) {
    for (const id of ["axis", "jump", "smooth", "whole"]) $(id).disabled = true;
  }
  const names = files.flatMap((file) => file.quantities.map((quantity) => quantity.name));
  const preferred = ["SNR_IN", "WHITE", "LOG_AGE_LW", "SNR", names[0]];
  if (!names.includes(state.map)) state.map = preferred.find((name) => names.includes(name));
  showProvenance($("provenance"), files);
}

async function loadFlags() {
  const found = await Promise.all(files.map((file) => (file.flags.length ? server.flags(file.number) : null)));
  const counts = new Map();
  found.forEach((answer, k) => {
    files[k].flagBits = answer ? answer.values : null;
    if (!answer || k) return;
    for (const bits of answer.values) for (const flag of flagsOf(bits, files[k].flags)) counts.set(flag, (counts.get(flag) || 0) + 1);
  });
  const options = [...counts].map(([flag, count]) => element("option", { value: flag.name }, `${flag.name.toLowerCase()} (${count})`));
  const all = [element("option", { value: "doubtful" }, "doubtful"), element("option", { value: "any" }, "any flag"), element("option", { value: "none" }, "none"), ...options];
  $("hatch").replaceChildren(...all);
  $("hatch-label").hidden = !counts.size;
  if (![...$("hatch").options].some((option) => option.value === state.hatch)) state.hatch = "doubtful";
  $("hatch").value = state.hatch;
  hatch();
}

function hatch() {
  for (const file of files) {
    const chosen = file.flags.filter(({ name }) => (state.hatch === "doubtful" ? !MILD.includes(name) : state.hatch === "any" || state.hatch === name));
    file.map.flags = file.flagBits;
    file.map.hatched = chosen.reduce((bits, { bit }) => bits | bit, 0);
    file.map.draw();
  }
}

// The middle of the field where nothing better is known: the brightest spaxel of the map.
function brightest() {
  const { values } = files[0].map;
  let best = 0;
  if (values && ["WHITE", "SNR_IN", "SNR", "SNR_OUT"].includes(state.map)) {
    for (let k = 0; k < files[0].n_spectra; k++) if (values[k] > (values[best] ?? -Infinity) || !(values[best] === values[best])) best = k;
    return best;
  }
  const [ny, nx] = files[0].grid;
  return Math.min(files[0].n_spectra - 1, Math.floor(ny / 2) * nx + Math.floor(nx / 2));
}

// --- maps ---

async function chooseMap(name, { keepLimits = false } = {}) {
  const quantity = allQuantities().find((each) => each.name === name);
  if (!quantity) return;
  const changed = state.map !== name;
  state.map = name;
  $("quantity").value = name;
  if (changed || !state.colours || !keepLimits) state.colours = keepLimits && state.colours ? state.colours : quantity.diverging ? DIVERGING : name === "WHITE" ? "grey" : keptColours();
  try {
    const answers = await Promise.all(files.map((file) => server.map(file.number, inFile(file, name))));
    answers.forEach((answer, k) => {
      const own = files[k].quantities.find((each) => each.name === answer.name);
      files[k].map.values = padded(answer.values, files[k]);
      files[k].errors = answer.errors;
      files[k].quantity = own;
      files[k].map.label = own.label + (own.unit ? ` [${own.unit}]` : "");
    });
    $("difference")?.toggleAttribute("disabled", !bothHave());
    if (state.difference && bothHave()) subtract();
    if (!keepLimits || !Number.isFinite(state.low)) setAutoLimits(quantity);
    colour();
    describe(quantity);
    const waiting = answers.find((answer) => answer && answer.done < 1);
    if (waiting) setTimeout(() => state.map === name && chooseMap(name), 400);
    if (shown.spectra.length) facts();
    remember();
  } catch (error) {
    complain(error);
  }
}

const has = (file, name) => file.quantities.some((quantity) => quantity.name === name);
const bothHave = () => linked() && files.every((file) => file.quantity.name === state.map);

// What a file shows where it has not the quantity that is chosen.
function inFile(file, name) {
  const choices = [name, ...(name.startsWith("SNR") ? ["SNR", "SNR_IN"] : []), "WHITE", "SNR_IN", file.quantities[0].name];
  return choices.find((each) => has(file, each));
}

// The second map becomes the second minus the first.
function subtract() {
  const [first, second] = files;
  second.map.values = second.map.values.map((value, k) => value - first.map.values[k]);
  const both = first.errors && second.errors;
  second.errors = both ? second.errors.map((error, k) => Math.hypot(error, first.errors[k])) : null;
  second.map.label = `Δ ${second.map.label}`;
}
const keptColours = () => (state.colours && ![DIVERGING, "grey"].includes(state.colours) ? state.colours : "cividis");

function padded(values, file) {
  const size = file.grid[0] * file.grid[1];
  if (values.length === size) return values;
  const whole = new Float32Array(size).fill(NaN);
  whole.set(values);
  return whole;
}

function setAutoLimits(quantity) {
  const joined = files.filter((file) => file.quantity.name === state.map && !(file.number && state.difference)).map((file) => file.map.values);
  const all = joined.length > 1 ? Float32Array.from([...joined[0], ...joined[1]]) : joined[0];
  [state.low, state.high] = autoLimits(all, quantity.diverging);
}

function colour() {
  for (const file of files) {
    const own = file.quantity.name !== state.map || (file.number && state.difference && bothHave());
    const options = { colours: state.colours, scale: state.scale, low: state.low, high: state.high };
    if (own) {
      const difference = file.quantity.name === state.map;
      const diverging = difference || file.quantity.diverging;
      [options.low, options.high] = autoLimits(file.map.values, diverging);
      Object.assign(options, { colours: diverging ? DIVERGING : "grey", scale: "linear" });
    }
    file.map.set({ options });
  }
  $("colours").value = state.colours;
  $("scale").value = state.scale;
  $("low").value = written(state.low);
  $("high").value = written(state.high);
}

function describe(quantity) {
  void quantity;
  files.forEach((file) => file.map.canvas.setAttribute("aria-label", `Map of ${file.map.label}, ${file.name}. Arrow keys move, Enter chooses.`));
}

function overlay(changes) {
  for (const file of files) {
    Object.assign(file.map.overlay, changes);
    file.map.drawOver();
  }
}

function mark(row, name = "row") {
  for (const file of files) {
    file.map.overlay[name] = row === null ? null : counterpart(row, files[0], file);
    file.map.drawOver();
  }
}

// --- spectra ---

async function fetchSpectra(row) {
  const rows = files.map((file) => counterpart(row, files[0], file));
  return Promise.all(files.map((file, k) => server.spectrum(file.number, rows[k])));
}

async function select(row) {
  if (row === null || row === undefined || row >= files[0].n_spectra || row < 0) return;
  state.row = row;
  cursor = row;
  if (state.region) clearRegion(false);
  mark(row);
  await showSpectrum(row, false);
  remember();
}

async function showSpectrum(row, hovering) {
  try {
    const spectra = await fetchSpectra(row);
    shown = { spectra, region: false };
    drawSpectra(spectra);
    heading(spectra, hovering);
    facts();
    document.body.dataset.row = String(row);
    document.body.dataset.hover = String(hovering);
  } catch (error) {
    complain(error);
  }
}

function drawSpectra(spectra) {
  const layers = files.map((file, k) => ({ about: file, data: spectra[k], name: file.name })).filter(({ about: file }) => file.wavelength);
  const line = about.marks.emission.concat(about.marks.absorption).find(({ name }) => name === state.line);
  if (state.axis === "velocity" && !line) state.axis = "observed";
  const index = about.marks.indices.find(({ name }) => name === state.index) || null;
  plot.set({ layers, view: { axis: state.axis, line, smooth: state.smooth, range: state.range, index, shown: visible() } });
  legend(layers);
  $("axis").value = state.axis;
  $("smooth").value = String(state.smooth);
  noteOn(layers);
}

function noteOn(layers) {
  let text = "";
  if (!layers.length) text = `${files[0].name} holds maps, no spectra. Give the denoised file as well to see them: quietspec view ${files[0].name} DENOISED.fits`;
  else if (shown.region) text = shown.spectra[0].assumed;
  else if (layers[0].about.kind === "denoised" && !layers[0].about.input.known) text = layers[0].about.input.from;
  $("spectrum-note").textContent = text;
  $("plot").hidden = $("residual").hidden = !layers.length;
}

function heading(spectra, hovering) {
  const [name, rest] = placeName(files[0], spectra[0]);
  $("place").replaceChildren(name, element("small", {}, rest + (hovering ? "  ·  looking" : "")));
  const value = valueAt(files[0], spectra[0].row);
  $("plot").setAttribute("aria-label", `Spectrum of ${name}. ${value}`);
  if (!hovering) say(`${name}. ${value}. ${flagsOf(spectra[0].flags, files[0].flags).map((flag) => flag.name.toLowerCase()).join(", ")}`);
}

function valueAt(file, row) {
  const { quantity } = file;
  if (!quantity || !file.map.values) return "";
  return `${file.number && state.difference && bothHave() ? "Δ " : ""}${quantity.label} ${withError(file.map.values[row], file.errors ? file.errors[row] : NaN)} ${quantity.unit}`.trim();
}

function facts() {
  if (shown.region) return;
  const best = files.find((file) => file.flags.length) || files[0];
  showFlags($("flags"), shown.spectra[best.number].flags, best.flags);
  showLabels($("labels"), shown.spectra, allQuantities(), state.map, (name) => chooseMap(name));
}

const visible = () => Object.fromEntries(state.hide.split(".").filter(Boolean).map((name) => [name, false]));

function legend(layers) {
  if (!layers.length) return $("legend").replaceChildren();
  const { data, about: file } = layers[0];
  const entries = [];
  if (data.input) entries.push(["input", "Input", "var(--input)", ""], ["smooth", "Smoothed input", "var(--smooth)", ""]);
  if (data.flux) entries.push(["estimate", layers.length > 1 ? "Estimates" : "Estimate", "var(--accent)", ""], ["band", "±1σ", "color-mix(in srgb, var(--accent) 35%, transparent)", "block"]);
  entries.push(["lines", "Lines", "var(--amber)", ""]);
  const buttons = entries.map(([name, text, paint, kind]) => {
    const swatch = element("i", { class: kind });
    swatch.style[kind ? "background" : "borderColor"] = paint;
    const button = element("button", { type: "button", "aria-pressed": String(visible()[name] !== false), onclick: () => toggle(name) }, swatch, text);
    button.dataset.part = name;
    return button;
  });
  const marks = [];
  if (data.mask || file.kind === "spectra") marks.push(key("var(--soft)", "masked"));
  if (data.mask) marks.push(key("var(--amber)", "left out of the fit"));
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.part : null;
  $("legend").replaceChildren(...buttons, ...marks);
  if (focused) $("legend").querySelector(`[data-part="${focused}"]`)?.focus();
  return undefined;
}

function key(paint, text) {
  const swatch = element("i", { class: "block" });
  swatch.style.background = paint;
  swatch.style.height = "5px";
  return element("span", {}, swatch, text);
}

function toggle(name) {
  const hidden = new Set(state.hide.split(".").filter(Boolean));
  if (!hidden.delete(name)) hidden.add(name);
  state.hide = [...hidden].join(".");
  redraw();
}

function redraw() {
  if (shown.spectra.length) drawSpectra(shown.spectra);
  remember();
}

function setRange(range) {
  state.range = range && range[1] - range[0] > 2 ? range : null;
  redraw();
  bandOf();
}

function readout(k) {
  const file = files.find(({ wavelength }) => wavelength);
  if (!file || k === null || k === undefined || !shown.spectra.length) {
    $("readout").textContent = "";
    return;
  }
  const data = shown.spectra[file.number];
  const z = data.redshift;
  const parts = [`λ ${file.wavelength[k].toFixed(1)} Å`];
  if (Number.isFinite(z)) parts.push(`rest ${(file.wavelength[k] / (1 + z)).toFixed(1)} Å`);
  if (data.flux) parts.push(`estimate ${withError(data.flux[k], data.sigma[k])}`);
  if (data.input) parts.push(`input ${written(data.input[k])}`);
  $("readout").textContent = parts.join("   ");
}

// --- regions ---

async function setRegion(shape) {
  state.region = rounded(shape);
  drawing.start("");
  showTool();
  overlay({ draft: null, region: state.region });
  mark(null);
  $("clear-region").disabled = false;
  try {
    const sums = await Promise.all(files.map((file) => (file.wavelength && (file.number === 0 || linked()) ? server.region(file.number, state.region) : {})));
    shown = { spectra: sums, region: true };
    drawSpectra(sums);
    const { n_summed: summed, n_inside: inside } = sums.find((sum) => sum.n_inside) || {};
    const kept = summed === inside ? `${inside} spaxels` : `${summed} of ${inside} spaxels, the others without an estimate`;
    $("place").replaceChildren(`Sum of a ${state.region.type}`, element("small", {}, kept));
    $("flags").replaceChildren(element("p", {}, `Sum of ${kept}.`));
    $("labels").replaceChildren();
    document.body.dataset.region = String(inside);
    say(`Sum of ${kept}`);
    bandOf();
  } catch (error) {
    clearRegion(false);
    complain(error);
  }
  remember();
}

function clearRegion(back = true) {
  state.region = null;
  delete document.body.dataset.region;
  overlay({ region: null, draft: null });
  $("clear-region").disabled = true;
  $("band").textContent = "";
  if (back) select(state.row ?? brightest());
}

// The flux within what is seen of the spectrum, with the error that the covariance between pixels gives.
async function bandOf() {
  const file = files.find(({ posterior }) => posterior);
  $("band").textContent = "";
  if (!state.range || !file || (!shown.region && state.row === null)) return;
  const target = shown.region ? { shape: JSON.stringify(state.region) } : { row: counterpart(state.row, files[0], file) };
  const [low, high] = state.range;
  $("band").textContent = "computing the error of the flux in view…";
  try {
    const { flux, error, independent, diagonal } = await server.band(file.number, target, low, high);
    const unit = file.unit ? ` × ${file.unit} Å` : "";
    const spread = shown.region ? `, all of it shared by the spaxels; ±${written(independent, 3)} if they were independent` : "";
    $("band").textContent = `Flux from ${low.toFixed(0)} to ${high.toFixed(0)} Å: ${withError(flux, error)}${unit}, by the covariance between pixels${spread}. The variances alone would say ±${written(diagonal, 2)}, too little.`;
  } catch (error) {
    if (!(error instanceof Withdrawn)) $("band").textContent = error.message;
  }
}

function showTool() {
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === drawing.tool));
}

function useTool(tool) {
  if (!files[0].shape) return say("These spectra form no image.");
  drawing.start(tool);
  showTool();
  say(tool ? `${tool}: drag on the map, or Space sets corners` : "pick spaxels");
  return undefined;
}

// --- what people do ---

function listenToMap(file, canvas) {
  const { map } = file;
  const toFirst = (row) => (row === null ? null : counterpart(row, file, files[0]));
  canvas.addEventListener("pointermove", (event) => {
    const place = map.toSpaxel(event);
    if (drawing.active) drawing.move(place);
    const row = map.rowAt(place);
    tooltip(event, file, row);
    if (!drawing.active && event.pointerType === "mouse") hover(toFirst(valid(file, row)));
  });
  canvas.addEventListener("pointerleave", () => {
    $("tooltip").hidden = true;
    hover(null);
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.focus({ preventScroll: true });
    const place = map.toSpaxel(event);
    if (drawing.active) {
      canvas.setPointerCapture(event.pointerId);
      drawing.down(place);
      event.preventDefault();
      return;
    }
    const row = valid(file, map.rowAt(place));
    if (row !== null) select(toFirst(row));
  });
  canvas.addEventListener("pointerup", () => drawing.up());
  canvas.addEventListener("dblclick", () => (drawing.tool === "polygon" ? drawing.finish() : undefined));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const place = map.toSpaxel(event);
    for (const each of linked() ? files : [file]) each.map.zoom(event.deltaY > 0 ? 1.25 : 0.8, place);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => mapKey(event, file));
}

const valid = (file, row) => (row !== null && row < file.n_spectra ? row : null);

let hovered = null;
function hover(row) {
  if (row === hovered) return;
  hovered = row;
  mark(row === state.row ? null : row, "cursor");
  if (shown.region || state.region) return;
  if (row !== null) showSpectrum(row, row !== state.row);
  else if (state.row !== null) showSpectrum(state.row, false);
}

function tooltip(event, file, row) {
  const box = $("tooltip");
  if (valid(file, row) === null) {
    box.hidden = true;
    return;
  }
  const flags = file.flagBits ? flagsOf(file.flagBits[row], file.flags) : [];
  const lines = [valueAt(file, row), ...flags.map(({ name, words }) => `${name.toLowerCase()}: ${words}`)].filter(Boolean);
  box.replaceChildren(...lines.map((line) => element("div", {}, line)));
  box.hidden = !lines.length;
  const right = event.clientX + 280 > window.innerWidth;
  box.style.left = right ? "auto" : `${event.clientX + 14}px`;
  box.style.right = right ? `${window.innerWidth - event.clientX + 14}px` : "auto";
  box.style.top = `${Math.min(event.clientY + 14, window.innerHeight - 60)}px`;
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function mapKey(event, file) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const [ny, nx] = files[0].grid;
  const place = { x: cursor % nx, y: Math.floor(cursor / nx) };
  if (event.key in ARROWS) {
    const step = event.shiftKey ? 10 : 1;
    const x = Math.min(nx - 1, Math.max(0, place.x + step * ARROWS[event.key][0]));
    const y = Math.min(ny - 1, Math.max(0, place.y + step * ARROWS[event.key][1]));
    cursor = Math.min(files[0].n_spectra - 1, y * nx + x);
    if (drawing.active) {
      mark(cursor, "cursor");
      drawing.move({ x, y });
      say(`x = ${x}, y = ${y}`);
    } else select(cursor);
  } else if (event.key === " ") {
    if (drawing.active) drawing.corner(place);
  } else if (event.key === "Enter") {
    if (drawing.active) drawing.finish();
    else select(cursor);
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

function zoomSpectrum(factor, shift = 0) {
  const file = files.find(({ wavelength }) => wavelength);
  if (!file) return;
  const [first, last] = [file.wavelength[0], file.wavelength[file.wavelength.length - 1]];
  const [low, high] = state.range || [first, last];
  const middle = (low + high) / 2 + shift * (high - low);
  const half = ((high - low) / 2) * factor;
  const range = [Math.max(first, middle - half), Math.min(last, middle + half)];
  setRange(range[0] <= first && range[1] >= last ? null : range);
}

function jumpTo(choice) {
  const file = files.find(({ wavelength }) => wavelength);
  if (!choice || !file || !shown.spectra.length) return;
  const [kind, name] = [choice.slice(0, choice.indexOf(":")), choice.slice(choice.indexOf(":") + 1)];
  const z = shown.spectra[file.number].redshift;
  if (!Number.isFinite(z)) {
    complain(new Error("The redshift is unknown, and with it where the line is."));
    return;
  }
  const at = (rest) => observedAt(rest, z, file.medium);
  let ends;
  if (kind === "index") {
    const index = about.marks.indices.find((each) => each.name === name);
    ends = [Math.min(...index.bands.flat()), Math.max(...index.bands.flat())].map(at);
    state.index = name;
    const pad = 0.6 * (ends[1] - ends[0]) + 15;
    ends = [ends[0] - pad, ends[1] + pad];
  } else {
    const line = about.marks.emission.concat(about.marks.absorption).find((each) => each.name === name);
    state.line = name;
    state.index = "";
    ends = [at(line.wavelength) - 110, at(line.wavelength) + 110];
  }
  if (ends[1] < file.wavelength[0] || ends[0] > file.wavelength[file.wavelength.length - 1]) {
    complain(new Error(`${name} lies outside of these wavelengths.`));
    return;
  }
  setRange([Math.max(ends[0], file.wavelength[0]), Math.min(ends[1], file.wavelength[file.wavelength.length - 1])]);
  say(name);
}

function nextAxis() {
  const kinds = ["observed", "rest", ...(state.line ? ["velocity"] : [])];
  setAxis(kinds[(kinds.indexOf(state.axis) + 1) % kinds.length]);
}

function setAxis(kind) {
  if (kind === "velocity" && !state.line) {
    const strongest = about.marks.emission.find(({ name }) => name === "Hα");
    state.line = strongest.name;
    jumpTo(`line:${strongest.name}`);
  }
  state.axis = kind;
  redraw();
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
    for (const file of files) file.map.zoom(1e9, { x: 0, y: 0 });
    setRange(null);
  },
  a: nextAxis,
  g: () => $("jump").focus(),
  r: () => useTool("rectangle"),
  c: () => useTool("circle"),
  o: () => useTool("polygon"),
  "?": () => $("help").showModal(),
  Escape: () => {
    if (drawing.active) useTool("");
    else if (state.region) clearRegion();
  },
};

function listen() {
  $("quantity").addEventListener("change", (event) => chooseMap(event.target.value));
  $("colours").addEventListener("change", (event) => {
    state.colours = event.target.value;
    colour();
    remember();
  });
  $("scale").addEventListener("change", (event) => {
    state.scale = event.target.value;
    colour();
    remember();
  });
  for (const id of ["low", "high"]) $(id).addEventListener("change", (event) => limit(id, event.target));
  $("auto").addEventListener("click", () => {
    setAutoLimits(allQuantities().find(({ name }) => name === state.map));
    colour();
    remember();
  });
  $("hatch").addEventListener("change", (event) => {
    state.hatch = event.target.value;
    hatch();
    remember();
  });
  for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => useTool(button.dataset.tool));
  $("clear-region").addEventListener("click", () => clearRegion());
  $("axis").addEventListener("change", (event) => setAxis(event.target.value));
  $("jump").addEventListener("change", (event) => {
    jumpTo(event.target.value);
    event.target.value = "";
  });
  $("smooth").addEventListener("change", (event) => {
    state.smooth = Number(event.target.value);
    redraw();
  });
  $("whole").addEventListener("click", () => setRange(null));
  $("help-button").addEventListener("click", () => $("help").showModal());
  $("copy-link").addEventListener("click", copyLink);
  for (const button of document.querySelectorAll("[data-save]")) button.addEventListener("click", (event) => save(button.dataset.save, event));
  $("export").addEventListener("keydown", (event) => {
    if (event.key === "Escape") $("export").open = false;
  });
  document.addEventListener("click", (event) => {
    if (!$("export").contains(event.target)) $("export").open = false;
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest && event.target.closest("input, select, dialog, textarea");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (action) {
      action();
      event.preventDefault();
    }
  });
  let width = document.documentElement.clientWidth;
  window.addEventListener("resize", () => {
    width = document.documentElement.clientWidth;
    for (const file of files) file.map.draw();
    plot.resize();
  });
  void width;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const file of files) file.map.draw();
    if (shown.spectra.length) plot.restyle();
  });
  window.addEventListener("hashchange", followLink);
}

function limit(id, input) {
  const value = parsed(input.value);
  if (value === null) {
    input.value = written(state[id]);
    complain(new Error("A limit is a number."));
    return;
  }
  state[id] = value;
  colour();
  remember();
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    say("Link copied: it shows this view while the server runs.");
    $("copy-link").textContent = "Copied";
    setTimeout(() => ($("copy-link").textContent = "Copy link"), 1500);
  } catch {
    window.prompt("Copy this link:", location.href);
  }
}

async function save(what, event) {
  const stem = files[0].name.replace(/\.fits?(\.gz)?$/, "");
  const place = shown.region ? "region" : files[0].shape ? `x${state.row % files[0].shape[1]}_y${Math.floor(state.row / files[0].shape[1])}` : `spectrum${state.row}`;
  const has = shown.spectra.length && (shown.spectra[0].flux || shown.spectra[0].input);
  if (what.startsWith("spectrum") && !has) {
    event.preventDefault();
    return complain(new Error("There is no spectrum to save."));
  }
  const words = `${files[0].title || files[0].name}, ${$("place").firstChild.textContent}`;
  if (what === "map-png") download(`${stem}_${state.map}.png`, await picture(files.map((file) => file.map.canvas)));
  if (what === "map-fits") event.currentTarget.href = server.fits("map", { file: 0, name: state.map });
  if (what === "spectrum-png") download(`${stem}_${place}.png`, await picture([plot.plot.ctx.canvas, plot.rest.ctx.canvas]));
  if (what === "spectrum-svg") download(`${stem}_${place}.svg`, spectrumSvg(plot, words), "image/svg+xml");
  if (what === "spectrum-csv") {
    const comment = [words, `wavelength: Å in ${files[0].medium}; flux unit: ${files[0].unit || "none"}`, ...(shown.region ? [shown.spectra[0].assumed, `region: ${JSON.stringify(state.region)}`] : [])];
    download(`${stem}_${place}.csv`, spectrumCsv(files[0], shown.spectra[0], comment), "text/csv");
  }
  if (what === "spectrum-fits") {
    const asked = shown.region ? ["region", { file: 0, shape: JSON.stringify(state.region) }] : ["spectrum", { file: 0, row: state.row }];
    event.currentTarget.href = server.fits(...asked);
  }
  $("export").open = false;
  return undefined;
}

// --- link, messages ---

let written_link = "";
function remember() {
  written_link = writeLink({ ...state, row: state.region ? NaN : state.row });
  history.replaceState(null, "", written_link);
}

async function followLink() {
  if (location.hash === written_link) return;
  const fresh = { scale: "linear", low: NaN, high: NaN, axis: "observed", line: "", index: "", smooth: 9, range: null, region: null, hatch: "doubtful", hide: "" };
  const given = readLink(location.hash);
  Object.assign(state, fresh, given);
  $("hatch").value = state.hatch;
  hatch();
  await chooseMap(state.map, { keepLimits: Number.isFinite(state.low) });
  if (state.region) await setRegion(state.region);
  else {
    overlay({ region: null });
    await select(state.row);
  }
}

function say(text) {
  $("status").textContent = text;
}

let quiet = 0;
function complain(error) {
  if (error instanceof Withdrawn) return;
  const box = $("problem");
  box.textContent = error.message || String(error);
  box.hidden = false;
  clearTimeout(quiet);
  quiet = setTimeout(() => (box.hidden = true), 6000);
}

begin();

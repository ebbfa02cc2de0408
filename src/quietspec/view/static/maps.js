// The maps: which quantity, its colours and limits, what is hatched and marked.

import { DIVERGING } from "./colours.js";
import { element, flagsOf } from "./facts.js";
import { autoLimits, SkyMap } from "./map.js";
import { withError, written } from "./numbers.js";
import { $, complain, happened, page, remember, server, state } from "./page.js";
import { allQuantities, bothHave, counterpart, gridOf, inFile, linked, linkedGrids } from "./pair.js";

const MILD = ["PRIOR LABELS", "NUCLEUS", "STRONG LINES"]; // say something about the galaxy, not against the result

export function buildMaps(listen) {
  page.files.forEach((file) => {
    const canvas = element("canvas", { tabIndex: 0, role: "application", "aria-roledescription": "map" });
    canvas.dataset.file = String(file.number);
    const caption = page.files.length > 1 ? [captionOf(file)] : [];
    $("canvases").append(element("figure", {}, ...caption, canvas));
    file.grid = gridOf(file);
    file.map = new SkyMap(canvas, { shape: file.grid, sky: file.sky });
    file.map.plain = !file.shape;
    listen(file, canvas);
  });
  if (!page.files[0].shape) $("map-note").textContent = "These spectra form no image: they are shown in the order of their numbers, row by row from the bottom.";
  if (page.files.length === 2 && !linked()) $("map-note").textContent = "The two images differ in shape: the second is linked by the place on the sky or in the frame.";
  if (page.files.every((file) => file.n_spectra === 1)) $("maps").hidden = true;
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

export async function loadFlags() {
  const found = await Promise.all(page.files.map((file) => (file.flags.length ? server.flags(file.number) : null)));
  const counts = new Map();
  found.forEach((answer, k) => {
    page.files[k].flagBits = answer ? answer.values : null;
    if (!answer || k) return;
    for (const bits of answer.values) for (const flag of flagsOf(bits, page.files[k].flags)) counts.set(flag, (counts.get(flag) || 0) + 1);
  });
  const options = [...counts].map(([flag, count]) => element("option", { value: flag.name }, `${flag.name.toLowerCase()} (${count})`));
  const all = [element("option", { value: "doubtful" }, "doubtful"), element("option", { value: "any" }, "any flag"), element("option", { value: "none" }, "none"), ...options];
  $("hatch").replaceChildren(...all);
  $("hatch-label").hidden = !counts.size;
  if (![...$("hatch").options].some((option) => option.value === state.hatch)) state.hatch = "doubtful";
  $("hatch").value = state.hatch;
  hatch();
}

export function hatch() {
  for (const file of page.files) {
    const chosen = file.flags.filter(({ name }) => (state.hatch === "doubtful" ? !MILD.includes(name) : state.hatch === "any" || state.hatch === name));
    file.map.flags = file.flagBits;
    file.map.hatched = chosen.reduce((bits, { bit }) => bits | bit, 0);
    file.map.draw();
  }
}

// The middle of the field where nothing better is known: the brightest spaxel of the map.
export function brightest() {
  const { values } = page.files[0].map;
  let best = 0;
  if (values && ["WHITE", "SNR_IN", "SNR", "SNR_OUT"].includes(state.map)) {
    for (let k = 0; k < page.files[0].n_spectra; k++) if (values[k] > (values[best] ?? -Infinity) || !(values[best] === values[best])) best = k;
    return best;
  }
  const [ny, nx] = page.files[0].grid;
  return Math.min(page.files[0].n_spectra - 1, Math.floor(ny / 2) * nx + Math.floor(nx / 2));
}

export async function chooseMap(name, { keepLimits = false } = {}) {
  const quantity = allQuantities().find((each) => each.name === name);
  if (!quantity) return;
  const changed = state.map !== name;
  state.map = name;
  $("quantity").value = name;
  if (changed || !state.colours || !keepLimits) state.colours = keepLimits && state.colours ? state.colours : quantity.diverging ? DIVERGING : name === "WHITE" ? "grey" : keptColours();
  try {
    const answers = await Promise.all(page.files.map((file) => server.map(file.number, inFile(file, name))));
    answers.forEach((answer, k) => {
      const own = page.files[k].quantities.find((each) => each.name === answer.name);
      page.files[k].map.values = padded(answer.values, page.files[k]);
      page.files[k].errors = answer.errors;
      page.files[k].quantity = own;
      page.files[k].map.label = own.label + (own.unit ? ` [${own.unit}]` : "");
    });
    $("difference")?.toggleAttribute("disabled", !bothHave());
    if (state.difference && bothHave()) subtract();
    if (!keepLimits || !Number.isFinite(state.low)) setAutoLimits(quantity);
    colour();
    describe();
    const waiting = answers.find((answer) => answer && answer.done < 1);
    if (waiting) setTimeout(() => state.map === name && chooseMap(name), 400);
    happened("map");
    remember();
  } catch (error) {
    complain(error);
  }
}

// The second map becomes the second minus the first.
function subtract() {
  const [first, second] = page.files;
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

export function setAutoLimits(quantity) {
  const joined = page.files.filter((file) => file.quantity.name === state.map && !(file.number && state.difference)).map((file) => file.map.values);
  const all = joined.length > 1 ? Float32Array.from([...joined[0], ...joined[1]]) : joined[0];
  [state.low, state.high] = autoLimits(all, quantity.diverging);
}

export function colour() {
  for (const file of page.files) {
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

function describe() {
  page.files.forEach((file) => file.map.canvas.setAttribute("aria-label", `Map of ${file.map.label}, ${file.name}. Arrow keys move, Enter chooses.`));
}

export function overlay(changes) {
  for (const file of page.files) {
    Object.assign(file.map.overlay, changes);
    file.map.drawOver();
  }
}

export function mark(row, name = "row") {
  for (const file of page.files) {
    file.map.overlay[name] = row === null ? null : counterpart(row, page.files[0], file);
    file.map.drawOver();
  }
}

export function valueAt(file, row) {
  const { quantity } = file;
  if (!quantity || !file.map.values) return "";
  return `${file.number && state.difference && bothHave() ? "Δ " : ""}${quantity.label} ${withError(file.map.values[row], file.errors ? file.errors[row] : NaN)} ${quantity.unit}`.trim();
}

// The spectrum of a spaxel, or the sum of a region: drawn, named, and with what is known about it.

import { element, flagsOf, placeName, showFlags, showLabels } from "./facts.js";
import { chooseMap, mark, overlay, valueAt } from "./maps.js";
import { $, complain, page, remember, say, server, state } from "./page.js";
import { allQuantities, counterpart } from "./pair.js";

async function fetchSpectra(row) {
  const rows = page.files.map((file) => counterpart(row, page.files[0], file));
  return Promise.all(page.files.map((file, k) => server.spectrum(file.number, rows[k])));
}

// Show no region any more; a question about one is withdrawn.
export function leaveRegion() {
  state.region = null;
  for (const key of ["region", "sum"]) {
    delete document.body.dataset[key];
    for (const file of page.files) server.withdraw(`${key}${file.number}`);
  }
  overlay({ region: null, draft: null });
  $("clear-region").disabled = $("keep-region").disabled = true;
  $("band").textContent = "";
}

export async function select(row) {
  if (row === null || row === undefined || row >= page.files[0].n_spectra || row < 0) return;
  state.row = row;
  page.cursor = row;
  if (state.region) leaveRegion();
  mark(row);
  await showSpectrum(row, false);
  remember();
}

export async function showSpectrum(row, hovering) {
  try {
    const spectra = await fetchSpectra(row);
    page.shown = { spectra, region: false };
    drawSpectra(spectra);
    heading(spectra, hovering);
    facts();
    document.body.dataset.row = String(row);
    document.body.dataset.hover = String(hovering);
  } catch (error) {
    complain(error);
  }
}

export function drawSpectra(spectra) {
  const layers = page.files.map((file, k) => ({ about: file, data: spectra[k], name: file.name })).filter(({ about: file }) => file.wavelength);
  const line = page.about.marks.emission.concat(page.about.marks.absorption).find(({ name }) => name === state.line);
  if (state.axis === "velocity" && !line) state.axis = "observed";
  const index = page.about.marks.indices.find(({ name }) => name === state.index) || null;
  page.plot.set({ layers, view: { axis: state.axis, line, smooth: state.smooth, range: state.range, index, shown: visible() } });
  legend(layers);
  $("axis").value = state.axis;
  $("smooth").value = String(state.smooth);
  noteOn(layers);
}

function noteOn(layers) {
  let text = "";
  if (!layers.length) text = `${page.files[0].name} holds maps, no spectra. Give the denoised file as well to see them: quietspec view ${page.files[0].name} DENOISED.fits`;
  else if (page.shown.region) text = page.shown.words;
  else if (layers[0].about.kind === "denoised" && !layers[0].about.input.known) text = layers[0].about.input.from;
  $("spectrum-note").textContent = text;
  $("plot").hidden = $("residual").hidden = !layers.length;
}

function heading(spectra, hovering) {
  const [name, rest] = placeName(page.files[0], spectra[0]);
  $("place").replaceChildren(name, element("small", {}, rest + (hovering ? "  ·  looking" : "")));
  const value = valueAt(page.files[0], spectra[0].row);
  $("plot").setAttribute("aria-label", `Spectrum of ${name}. ${value}`);
  if (!hovering) say(`${name}. ${value}. ${flagsOf(spectra[0].flags, page.files[0].flags).map((flag) => flag.name.toLowerCase()).join(", ")}`);
}

export function facts() {
  if (page.shown.region) return sumFacts();
  const best = page.files.find((file) => file.flags.length) || page.files[0];
  showFlags($("flags"), page.shown.spectra[best.number].flags, best.flags);
  showLabels($("labels"), page.shown.spectra, allQuantities(), state.map, (name) => chooseMap(name));
  return undefined;
}

// What is known of the sum of a region: all that the posterior of the sum tells, where there is one.
function sumFacts() {
  const known = page.shown.spectra.find((sum) => sum.labels);
  if (!known) {
    $("flags").replaceChildren();
    $("labels").replaceChildren();
    return;
  }
  showFlags($("flags"), known.flags, known.flag_words);
  const sums = page.shown.spectra.filter((sum) => sum.labels);
  showLabels($("labels"), sums, known.quantities, state.map, (name) => (allQuantities().some((each) => each.name === name) ? chooseMap(name) : say("The files have no map of it.")));
}

const visible = () => Object.fromEntries(state.hide.split(".").filter(Boolean).map((name) => [name, false]));

function legend(layers) {
  if (!layers.length) return $("legend").replaceChildren();
  const { data, about: file } = layers[0];
  const entries = [];
  if (data.input) entries.push(["input", "Input", "var(--input)", ""], ["smooth", "Smoothed input", "var(--smooth)", ""]);
  if (data.flux) entries.push(["estimate", layers.length > 1 ? "Estimates" : "Estimate", "var(--accent)", ""], ["band", data.sharing === "unknown" ? "±1σ at most" : "±1σ", "color-mix(in srgb, var(--accent) 35%, transparent)", "block"]);
  entries.push(["lines", "Lines", "var(--amber)", ""]);
  const buttons = entries.map(([name, text, paint, kind]) => {
    const swatch = element("i", { class: kind });
    swatch.style[kind ? "background" : "borderColor"] = paint;
    const button = element("button", { type: "button", "aria-pressed": String(visible()[name] !== false), onclick: () => toggle(name) }, swatch, text);
    button.dataset.part = name;
    return button;
  });
  const marks = [];
  if (data.flux && data.sigma_independent && visible().band !== false) marks.push(key("var(--accent)", "±1σ if independent", "dashed"));
  if (data.mask || file.kind === "spectra") marks.push(key("var(--soft)", "masked"));
  if (data.mask) marks.push(key("var(--amber)", "left out of the fit"));
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.part : null;
  $("legend").replaceChildren(...buttons, ...marks);
  if (focused) $("legend").querySelector(`[data-part="${focused}"]`)?.focus();
  return undefined;
}

function key(paint, text, kind = "block") {
  const swatch = element("i", { class: kind });
  swatch.style[kind === "block" ? "background" : "borderColor"] = paint;
  return element("span", {}, swatch, text);
}

function toggle(name) {
  const hidden = new Set(state.hide.split(".").filter(Boolean));
  if (!hidden.delete(name)) hidden.add(name);
  state.hide = [...hidden].join(".");
  redraw();
}

export function redraw() {
  if (page.shown.spectra.length) drawSpectra(page.shown.spectra);
  remember();
}

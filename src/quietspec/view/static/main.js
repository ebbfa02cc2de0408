// The page: how it begins, and what its controls do.

import { clearBins, keepRegion, showBins } from "./bins.js";
import { COLOUR_MAPS } from "./colours.js";
import { Drawing } from "./drawing.js";
import { element, showProvenance } from "./facts.js";
import { listenToKeys } from "./keyboard.js";
import { readLink } from "./link.js";
import { brightest, buildMaps, chooseMap, colour, hatch, loadFlags, overlay, setAutoLimits } from "./maps.js";
import { parsed, written } from "./numbers.js";
import { $, complain, isRemembered, page, PLAIN, remember, say, server, state, when } from "./page.js";
import { allQuantities } from "./pair.js";
import { listenToMap } from "./pointer.js";
import { jumpTo, readout, setAxis, setRange } from "./range.js";
import { clearRegion, setRegion, useTool } from "./regions.js";
import { copyLink, save } from "./saving.js";
import { facts, redraw, select } from "./spectra.js";
import { SpectrumPlot } from "./spectrum.js";
import { inVacuum } from "./waves.js";

async function begin() {
  try {
    page.about = await server.about();
    page.about.marks = inVacuum(page.about.marks);
  } catch (error) {
    return complain(error);
  }
  page.files = page.about.files.map((file, number) => ({ ...file, number, flagBits: null, sky: file.sky }));
  Object.assign(state, readLink(location.hash));
  document.body.classList.toggle("pair", page.files.length === 2);
  title();
  page.plot = new SpectrumPlot($("plot"), $("residual"), { onRange: setRange, onCursor: readout });
  page.plot.set({ marks: page.about.marks });
  page.drawing = new Drawing({ onDraft: (draft) => overlay({ draft }), onDone: setRegion, say });
  buildMaps(listenToMap);
  fillControls();
  listen();
  await chooseMap(state.map, { keepLimits: Number.isFinite(state.low) });
  await loadFlags();
  await showChosen();
  document.body.dataset.ready = "true";
  return undefined;
}

// The region or spaxel of a link, and its bins.
async function showChosen() {
  const chosen = state.region ? setRegion(state.region) : select(state.row ?? brightest());
  if (!state.region) overlay({ region: null });
  if (!state.region) await chosen;
  showBins();
}

async function followLink() {
  if (isRemembered()) return;
  Object.assign(state, PLAIN, readLink(location.hash));
  $("hatch").value = state.hatch;
  hatch();
  await chooseMap(state.map, { keepLimits: Number.isFinite(state.low) });
  await showChosen();
}

function title() {
  const parts = page.files.map((file, k) => {
    const swatch = page.files.length > 1 ? [element("i", { class: k ? "swatch second" : "swatch" })] : [];
    const size = file.shape ? `${file.shape[1]} × ${file.shape[0]} spaxels` : `${file.n_spectra} ${file.n_spectra === 1 ? "spectrum" : "spectra"}`;
    const z = file.redshift ? `, z ${file.redshift.toFixed(4)}` : "";
    return element("span", {}, ...swatch, element("b", {}, file.title || file.name), ` ${file.title ? `${file.name}, ` : ""}${size}${z}`, k + 1 < page.files.length ? "  ·  " : "");
  });
  $("title").replaceChildren(...parts);
  document.title = `${page.files.map((file) => file.title || file.name).join(" · ")} – quietspec`;
}

function fillControls() {
  const groups = new Map();
  for (const quantity of allQuantities()) {
    if (!groups.has(quantity.group)) groups.set(quantity.group, element("optgroup", { label: quantity.group }));
    groups.get(quantity.group).append(element("option", { value: quantity.name }, quantity.label + (quantity.unit ? ` [${quantity.unit}]` : "")));
  }
  $("quantity").append(...groups.values());
  $("colours").append(...COLOUR_MAPS.map((name) => element("option", { value: name }, name)));
  const jump = { Emission: page.about.marks.emission, Absorption: page.about.marks.absorption, Indices: page.about.marks.indices };
  for (const [label, entries] of Object.entries(jump)) {
    const options = entries.map(({ name }) => element("option", { value: `${label === "Indices" ? "index" : "line"}:${name}` }, name));
    $("jump").append(element("optgroup", { label }, ...options));
  }
  if (!page.files.some((file) => file.wavelength)) {
    for (const id of ["axis", "jump", "smooth", "whole"]) $(id).disabled = true;
  }
  const names = page.files.flatMap((file) => file.quantities.map((quantity) => quantity.name));
  const preferred = ["SNR_IN", "WHITE", "LOG_AGE_LW", "SNR", names[0]];
  if (!names.includes(state.map)) state.map = preferred.find((name) => names.includes(name));
  showProvenance($("provenance"), page.files);
}

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
  $("keep-region").addEventListener("click", keepRegion);
  $("clear-bins").addEventListener("click", clearBins);
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
  window.addEventListener("resize", () => {
    for (const file of page.files) file.map.draw();
    page.plot.resize();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const file of page.files) file.map.draw();
    if (page.shown.spectra.length) page.plot.restyle();
  });
  window.addEventListener("hashchange", followLink);
  listenToKeys();
  when("map", () => page.shown.spectra.length && facts());
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

begin();

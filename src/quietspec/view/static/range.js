// The wavelengths in view: zoom, axis, jumps to lines, and the flux between their ends.

import { Withdrawn } from "./data.js";
import { withError, written } from "./numbers.js";
import { $, complain, page, say, server, state } from "./page.js";
import { counterpart } from "./pair.js";
import { redraw } from "./spectra.js";
import { observedAt } from "./waves.js";

export function setRange(range) {
  state.range = range && range[1] - range[0] > 2 ? range : null;
  redraw();
  bandOf();
}

export function readout(k) {
  const file = page.files.find(({ wavelength }) => wavelength);
  if (!file || k === null || k === undefined || !page.shown.spectra.length) {
    $("readout").textContent = "";
    return;
  }
  const data = page.shown.spectra[file.number];
  const z = data.redshift;
  const parts = [`λ ${file.wavelength[k].toFixed(1)} Å`];
  if (Number.isFinite(z)) parts.push(`rest ${(file.wavelength[k] / (1 + z)).toFixed(1)} Å`);
  if (data.flux) parts.push(`estimate ${withError(data.flux[k], data.sigma[k])}`);
  if (data.input) parts.push(`input ${written(data.input[k])}`);
  $("readout").textContent = parts.join("   ");
}

// The flux within what is seen of the spectrum, with the error that the covariance between pixels gives.
export async function bandOf() {
  const file = page.files.find(({ posterior }) => posterior);
  $("band").textContent = "";
  if (!state.range || !file || (!page.shown.region && state.row === null)) return;
  if (page.shown.region && document.body.dataset.sum === "waiting") return;
  const target = page.shown.region ? { shape: JSON.stringify(state.region) } : { row: counterpart(state.row, page.files[0], file) };
  const [low, high] = state.range;
  $("band").textContent = "computing the error of the flux in view…";
  try {
    const { flux, error, independent, diagonal, sharing } = await server.band(file.number, target, low, high);
    const unit = file.unit ? ` × ${file.unit} Å` : "";
    const shared = sharing === "measured" ? "and what the spaxels share, as measured on simulated galaxies" : "all of it shared by the spaxels";
    const spread = independent !== null && page.shown.region ? `, ${shared}; ±${written(independent, 3)} if they were independent` : "";
    $("band").textContent = `Flux from ${low.toFixed(0)} to ${high.toFixed(0)} Å: ${withError(flux, error)}${unit}, by the covariance between pixels${spread}. The variances alone would say ±${written(diagonal, 2)}, too little.`;
  } catch (error) {
    if (!(error instanceof Withdrawn)) $("band").textContent = error.message;
  }
}

export function zoomSpectrum(factor, shift = 0) {
  const file = page.files.find(({ wavelength }) => wavelength);
  if (!file) return;
  const [first, last] = [file.wavelength[0], file.wavelength[file.wavelength.length - 1]];
  const [low, high] = state.range || [first, last];
  const middle = (low + high) / 2 + shift * (high - low);
  const half = ((high - low) / 2) * factor;
  const range = [Math.max(first, middle - half), Math.min(last, middle + half)];
  setRange(range[0] <= first && range[1] >= last ? null : range);
}

export function jumpTo(choice) {
  const file = page.files.find(({ wavelength }) => wavelength);
  if (!choice || !file || !page.shown.spectra.length) return;
  const [kind, name] = [choice.slice(0, choice.indexOf(":")), choice.slice(choice.indexOf(":") + 1)];
  const z = page.shown.spectra[file.number].redshift;
  if (!Number.isFinite(z)) {
    complain(new Error("The redshift is unknown, and with it where the line is."));
    return;
  }
  const at = (rest) => observedAt(rest, z, file.medium);
  let ends;
  if (kind === "index") {
    const index = page.about.marks.indices.find((each) => each.name === name);
    ends = [Math.min(...index.bands.flat()), Math.max(...index.bands.flat())].map(at);
    state.index = name;
    const pad = 0.6 * (ends[1] - ends[0]) + 15;
    ends = [ends[0] - pad, ends[1] + pad];
  } else {
    const line = page.about.marks.emission.concat(page.about.marks.absorption).find((each) => each.name === name);
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

export function nextAxis() {
  const kinds = ["observed", "rest", ...(state.line ? ["velocity"] : [])];
  setAxis(kinds[(kinds.indexOf(state.axis) + 1) % kinds.length]);
}

export function setAxis(kind) {
  if (kind === "velocity" && !state.line) {
    const strongest = page.about.marks.emission.find(({ name }) => name === "Hα");
    state.line = strongest.name;
    jumpTo(`line:${strongest.name}`);
  }
  state.axis = kind;
  redraw();
}

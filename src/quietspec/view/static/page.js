// What all parts of the page share: what is seen, the files, and messages.

import { Server, Withdrawn } from "./data.js";
import { writeLink } from "./link.js";

export const $ = (id) => document.getElementById(id);
export const server = new Server();

// What a link without any part shows.
export const PLAIN = { scale: "linear", low: NaN, high: NaN, axis: "observed", line: "", index: "", smooth: 9, range: null, region: null, bins: [], hatch: "doubtful", hide: "" };
export const state = { ...PLAIN, map: null, colours: null, row: null, difference: false };

// `shown` is what the plot holds, `cursor` the spaxel under the keyboard.
export const page = { about: null, files: [], plot: null, drawing: null, shown: { spectra: [], region: false }, cursor: 0 };

// Parts that are built later listen to those before them.
const listeners = new Map();

export function when(event, action) {
  listeners.set(event, [...(listeners.get(event) || []), action]);
}

export function happened(event) {
  for (const action of listeners.get(event) || []) action();
}

let link = "";
export function remember() {
  link = writeLink({ ...state, row: state.region ? NaN : state.row });
  history.replaceState(null, "", link);
}

export const isRemembered = () => location.hash === link;

export function say(text) {
  $("status").textContent = text;
}

let quiet = 0;
export function complain(error) {
  if (error instanceof Withdrawn) return;
  const box = $("problem");
  box.textContent = error.message || String(error);
  box.hidden = false;
  clearTimeout(quiet);
  quiet = setTimeout(() => (box.hidden = true), 6000);
}

// Regions that are kept: numbered bins, in a table, on the map, and in the link.

import { Withdrawn } from "./data.js";
import { element } from "./facts.js";
import { overlay } from "./maps.js";
import { withError, written } from "./numbers.js";
import { $, complain, page, remember, say, server, state } from "./page.js";
import { setRegion } from "./regions.js";

const MOST = 99;
const COLUMNS = [["SNR_IN", "S/N"], ["VELOCITY", "V"], ["SIGMA", "σ"], ["LOG_AGE_LW", "log age"], ["MH_LW", "[M/H]"]];
const known = new Map(); // sums by region

export function keepRegion() {
  if (!state.region) return say("Draw a region first.");
  if (state.bins.length >= MOST) return complain(new Error(`There are ${MOST} bins already.`));
  if (!state.bins.some((bin) => same(bin, state.region))) state.bins = [...state.bins, state.region];
  say(`Kept as bin ${state.bins.findIndex((bin) => same(bin, state.region)) + 1}.`);
  return showBins();
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

// Draw the bins and their table, and ask for the sums that are not known yet, one after the other.
export async function showBins() {
  overlay({ bins: state.bins });
  table();
  remember();
  for (const bin of state.bins) {
    if (!state.bins.some((other) => same(other, bin))) continue; // removed meanwhile
    try {
      await learn(bin);
    } catch (error) {
      if (!(error instanceof Withdrawn)) complain(error);
    }
    table();
  }
}

async function learn(bin) {
  const file = page.files.find(({ wavelength }) => wavelength);
  const key = JSON.stringify(bin);
  if (!file || (known.get(key) || {}).labels) return;
  const bound = await server.binRegion(file.number, bin);
  known.set(key, bound);
  if (!bound.no_data) known.set(key, await server.binSum(file.number, bin));
}

function table() {
  const rows = state.bins.map((bin, k) => {
    const sum = known.get(JSON.stringify(bin));
    const choose = element("button", { type: "button", title: `Show bin ${k + 1}`, "aria-label": `Show bin ${k + 1}`, onclick: () => setRegion(bin) }, String(k + 1));
    const remove = element("button", { type: "button", title: `Remove bin ${k + 1}`, "aria-label": `Remove bin ${k + 1}`, onclick: () => removeBin(k) }, "×");
    const values = COLUMNS.map(([name]) => element("td", {}, shortValue(sum, name)));
    return element("tr", { class: same(bin, state.region) ? "chosen" : "" }, element("th", { scope: "row" }, choose), element("td", {}, remove), element("td", {}, sum ? String(sum.n_inside) : "…"), ...values);
  });
  const heads = ["Spaxels", ...COLUMNS.map(([, text]) => text)].map((text) => element("th", { scope: "col" }, text));
  $("bin-rows").replaceChildren(element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Bin"), element("td", {}), ...heads)), element("tbody", {}, ...rows));
  $("bins").hidden = !state.bins.length;
  document.body.dataset.bins = String(state.bins.filter((bin) => (known.get(JSON.stringify(bin)) || {}).n_inside).length);
  $("bins-note").textContent = [...known.values()].some(({ no_data: reason }) => reason) ? "Labels of bins need the data that were denoised." : "";
}

const labelOf = (sum, name) => (sum && sum.labels ? sum.labels.find((label) => label.name === name) : null);

function shortValue(sum, name) {
  const label = labelOf(sum, name);
  if (!label) return sum && !sum.labels && !sum.no_data ? "…" : "–";
  return label.error === null ? written(label.value, 3) : withError(label.value, label.error).replaceAll(" ", "");
}

function removeBin(number) {
  state.bins = state.bins.filter((_, k) => k !== number);
  say(`Bin ${number + 1} removed; those after it have moved up.`);
  showBins();
}

export function clearBins() {
  state.bins = [];
  showBins();
}

// All labels of all bins, as far as they are known.
export function binsCsv() {
  const sums = state.bins.map((bin) => known.get(JSON.stringify(bin)));
  const names = [...new Set(sums.flatMap((sum) => (sum && sum.labels ? sum.labels.map(({ name }) => name) : [])))];
  const cells = (sum, name) => {
    const label = labelOf(sum, name) || {};
    return [label.value, label.error].map((value) => (Number.isFinite(value) ? String(Number(value.toPrecision(7))) : ""));
  };
  const head = ["bin", "region", "n_spaxels", ...names.flatMap((name) => [name.toLowerCase(), `${name.toLowerCase()}_err`])];
  const lines = state.bins.map((bin, k) => [k, `"${JSON.stringify(bin).replaceAll('"', '""')}"`, sums[k] ? sums[k].n_inside : "", ...names.flatMap((name) => cells(sums[k], name))].join(","));
  return `${[head.join(","), ...lines].join("\n")}\n`;
}

// Regions drawn on the map: their sums, first as the file allows, then by the data where these are at hand.

import { Withdrawn } from "./data.js";
import { element } from "./facts.js";
import { rounded } from "./link.js";
import { brightest, mark, overlay } from "./maps.js";
import { $, complain, page, remember, say, server, state } from "./page.js";
import { linked } from "./pair.js";
import { bandOf } from "./range.js";
import { drawSpectra, facts, leaveRegion, select } from "./spectra.js";

const NO_SPECTRA = "These files hold maps, and no spectra to add up.";
let turn = 0; // of the region that was asked for last

export async function setRegion(shape) {
  if (!page.files.some(summed)) {
    clearRegion();
    say(NO_SPECTRA);
    return;
  }
  const mine = ++turn;
  state.region = rounded(shape);
  page.drawing.start("");
  showTool();
  overlay({ draft: null, region: state.region });
  mark(null);
  $("clear-region").disabled = $("keep-region").disabled = false;
  remember();
  try {
    const sums = await Promise.all(page.files.map((file) => (summed(file) ? server.region(file.number, state.region) : {})));
    if (mine !== turn || !state.region) return;
    const hasData = sums.map((sum) => sum.n_inside && !sum.no_data);
    if (!hasData.some(Boolean)) {
      const { no_data: reason } = sums.find((sum) => sum.n_inside) || {};
      show(sums, `${reason || ""} ${assumed(sums)}`.trim(), kindOf(sums));
    } else {
      show(sums, "Adding up the data and denoising the sum… Until then, sums of estimates are shown.", "waiting");
      await showPosterior(sums, hasData, mine);
    }
  } catch (error) {
    if (mine === turn && !(error instanceof Withdrawn)) clearRegion(false);
    complain(error);
  }
  remember();
}

const summed = (file) => file.wavelength && (file.number === 0 || linked());

async function showPosterior(sums, hasData, mine) {
  try {
    const found = await Promise.all(page.files.map((file, k) => (hasData[k] ? server.sum(file.number, state.region) : sums[k])));
    if (mine === turn && state.region) show(found, assumed(found), "posterior");
  } catch (error) {
    if (error instanceof Withdrawn) throw error;
    if (mine === turn && state.region) show(sums, `${error.message} ${assumed(sums)}`, kindOf(sums));
  }
}

// What the bands are, in words; for each file, where they differ.
function assumed(sums) {
  const words = new Set(sums.map((sum) => sum.assumed).filter(Boolean));
  if (words.size < 2) return [...words].join("");
  return sums.map((sum, k) => (sum.assumed ? `${page.files[k].name}: ${sum.assumed}` : "")).filter(Boolean).join(" ");
}

const kindOf = (sums) => ((sums.find((sum) => sum.sharing) || {}).sharing === "measured" ? "shared" : "bound");

// `kind` says what the band is: that of the posterior of the sum, that of added estimates with what they share, the bound
// if all of their errors were shared, or either of these until the first comes.
function show(sums, words, kind) {
  page.shown = { spectra: sums, region: true, words };
  document.body.dataset.sum = kind;
  drawSpectra(sums);
  facts();
  const { n_summed: some, n_inside: inside } = sums.find((sum) => sum.n_inside) || {};
  const what = kind === "posterior" ? "data" : "an estimate";
  const kept = some === inside ? `${inside} spaxels` : `${some} of ${inside} spaxels, the others without ${what}`;
  $("place").replaceChildren(`Sum of a ${state.region.type}`, element("small", {}, kept));
  document.body.dataset.region = String(inside);
  say(`Sum of ${kept}. ${words}`);
  bandOf();
}

export function clearRegion(back = true) {
  leaveRegion();
  if (back) select(state.row ?? brightest());
}

function showTool() {
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === page.drawing.tool));
}

export function useTool(tool) {
  if (!page.files[0].shape) return say("These spectra form no image.");
  if (tool && !page.files.some(summed)) return say(NO_SPECTRA);
  page.drawing.start(tool);
  showTool();
  say(tool ? `${tool}: drag on the map, or Space sets corners` : "pick spaxels");
  return undefined;
}

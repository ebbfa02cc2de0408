// What the menus save and copy.

import { binsCsv } from "./bins.js";
import { $, complain, page, say, server, state } from "./page.js";
import { download, picture, spectrumCsv, spectrumSvg } from "./save.js";

export async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    say("Link copied: it shows this view while the server runs.");
    $("copy-link").textContent = "Copied";
    setTimeout(() => ($("copy-link").textContent = "Copy link"), 1500);
  } catch {
    window.prompt("Copy this link:", location.href);
  }
}

export async function save(what, event) {
  const stem = page.files[0].name.replace(/\.fits?(\.gz)?$/, "");
  const place = page.shown.region ? "region" : page.files[0].shape ? `x${state.row % page.files[0].shape[1]}_y${Math.floor(state.row / page.files[0].shape[1])}` : `spectrum${state.row}`;
  const known = page.shown.spectra.length && (page.shown.spectra[0].flux || page.shown.spectra[0].input);
  if (what.startsWith("spectrum") && !known) {
    event.preventDefault();
    return complain(new Error("There is no spectrum to save."));
  }
  const words = `${page.files[0].title || page.files[0].name}, ${$("place").firstChild.textContent}`;
  if (what === "map-png") download(`${stem}_${state.map}.png`, await picture(page.files.map((file) => file.map.canvas)));
  if (what === "map-fits") event.currentTarget.href = server.address("map.fits", { file: 0, name: state.map });
  if (what === "spectrum-png") download(`${stem}_${place}.png`, await picture([page.plot.plot.ctx.canvas, page.plot.rest.ctx.canvas]));
  if (what === "spectrum-svg") download(`${stem}_${place}.svg`, spectrumSvg(page.plot, words), "image/svg+xml");
  if (what === "spectrum-csv") {
    const comment = [words, `wavelength: Å in ${page.files[0].medium}; flux unit: ${page.files[0].unit || "none"}`, ...(page.shown.region ? [page.shown.words, `region: ${JSON.stringify(state.region)}`] : [])];
    download(`${stem}_${place}.csv`, spectrumCsv(page.files[0], page.shown.spectra[0], comment), "text/csv");
  }
  if (what === "bins-csv") download(`${stem}_bins.csv`, binsCsv(), "text/csv");
  if (what.startsWith("bins-") && what !== "bins-csv") event.currentTarget.href = server.address(`bins.${what.slice(5)}`, { file: 0, shapes: JSON.stringify(state.bins) });
  if (what === "spectrum-fits") {
    const asked = page.shown.region ? ["region.fits", { file: 0, shape: JSON.stringify(state.region) }] : ["spectrum.fits", { file: 0, row: state.row }];
    event.currentTarget.href = server.address(...asked);
  }
  $("export").open = false;
  return undefined;
}

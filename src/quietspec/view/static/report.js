// The report: maps and a sample of spectra from numbers that the page holds.

import { DIVERGING } from "./colours.js";
import { element, flagsOf, placeName, showFlags, showLabels } from "./facts.js";
import { autoLimits, SkyMap } from "./map.js";
import { unpack } from "./numbers.js";
import { SpectrumPlot } from "./spectrum.js";
import { inVacuum } from "./waves.js";

const $ = (id) => document.getElementById(id);
const MILD = ["PRIOR LABELS", "NUCLEUS", "STRONG LINES"];

async function unzipped(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

async function begin() {
  const data = await unzipped($("embedded").textContent);
  const file = { ...data.about, wavelength: unpack(data.about.wavelength) };
  const spectra = data.spectra.map((spectrum) => {
    for (const name of ["flux", "sigma", "input", "input_sigma", "mask"]) if (spectrum[name]) spectrum[name] = unpack(spectrum[name]);
    return spectrum;
  });
  const plot = new SpectrumPlot($("plot"), $("residual"), { onRange: (range) => plot.set({ view: { range } }), onCursor: () => undefined });
  plot.set({ marks: inVacuum(data.marks) });
  const maps = drawMaps(data, file, spectra, (number) => show(number));

  function show(number) {
    const spectrum = spectra[number];
    const [name, rest] = placeName(file, spectrum);
    $("place").replaceChildren(`${number + 1}   ${name}`, element("small", {}, rest));
    plot.set({ layers: [{ about: file, data: spectrum, name: file.name }] });
    showFlags($("flags"), spectrum.flags, file.flags);
    showLabels($("labels"), [spectrum], file.quantities, null, () => undefined);
    for (const button of $("labels").querySelectorAll("button")) button.replaceWith(button.textContent);
    [...$("choice").children].forEach((button, k) => button.setAttribute("aria-pressed", String(k === number)));
    for (const map of maps) {
      map.overlay.row = thinned(spectrum.row, file, data.step);
      map.drawOver();
    }
  }

  spectra.forEach((spectrum, number) => {
    const snr = spectrum.labels.find(({ name }) => name === "SNR_IN");
    const words = flagsOf(spectrum.flags, file.flags).map(({ name }) => name.toLowerCase()).join(", ");
    const text = `${number + 1}${snr && snr.value !== null ? `  S/N ${snr.value.toFixed(1)}` : ""}${words ? `, ${words}` : ""}`;
    $("choice").append(element("button", { type: "button", "aria-pressed": "false", onclick: () => show(number) }, text));
  });
  const entries = [["input", "--input"], ["smoothed input", "--smooth"], ["estimate and ±1σ", "--accent"], ["left out of the fit", "--amber"]];
  $("legend").append(...entries.map(([text, paint]) => {
    const swatch = element("i", {});
    swatch.style.borderColor = `var(${paint})`;
    return element("span", {}, swatch, text);
  }));
  $("whole").addEventListener("click", () => plot.set({ view: { range: null } }));
  $("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText($("methods").innerText);
    $("copy").textContent = "Copied";
  });
  if (spectra.length) show(0);
  const again = () => {
    for (const map of maps) map.draw();
    plot.resize();
  };
  window.addEventListener("resize", again);
  for (const question of ["(prefers-color-scheme: dark)", "print"]) {
    matchMedia(question).addEventListener("change", () => {
      again();
      plot.restyle();
    });
  }
  document.body.dataset.ready = "true";
}

function thinned(row, file, step) {
  if (!file.shape || step === 1) return row;
  const [y, x] = [Math.floor(row / file.shape[1]), row % file.shape[1]];
  return Math.floor(y / step) * Math.ceil(file.shape[1] / step) + Math.floor(x / step);
}

function drawMaps(data, file, spectra, onPick) {
  if (!file.shape) {
    $("grid").closest("section").hidden = true;
    return [];
  }
  const shape = file.shape.map((size) => Math.ceil(size / data.step));
  const sky = file.sky && { ...file.sky, arcsec: file.sky.arcsec.map((size) => size * data.step) };
  const flags = unpack(data.flags);
  const doubtful = file.flags.filter(({ name }) => !MILD.includes(name)).reduce((bits, { bit }) => bits | bit, 0);
  $("map-note").textContent = `Colours run from the 2nd to the 98th percentile; hatched: doubtful by its flags.${data.step > 1 ? ` Every ${data.step}th spaxel is drawn.` : ""}`;
  return Object.entries(data.maps).map(([name, packed]) => {
    const quantity = file.quantities.find((each) => each.name === name);
    const label = quantity.label + (quantity.unit ? ` [${quantity.unit}]` : "");
    const canvas = element("canvas", { role: "img", "aria-label": `Map of ${label}` });
    $("grid").append(element("figure", {}, canvas));
    const map = new SkyMap(canvas, { shape, sky });
    const values = unpack(packed);
    const [low, high] = autoLimits(values, quantity.diverging);
    map.tallest = 260;
    map.label = label;
    map.options = { colours: name === "WHITE" ? "grey" : quantity.diverging ? DIVERGING : "cividis", scale: "linear", low, high };
    if (name === "WHITE") map.overlay.marks = spectra.map(({ row }, k) => ({ row: thinned(row, file, data.step), text: String(k + 1) }));
    map.set({ values, flags, hatched: doubtful });
    canvas.addEventListener("click", (event) => {
      const { x, y } = map.toSpaxel(event);
      const far = spectra.map(({ row }) => {
        const at = thinned(row, file, data.step);
        return Math.hypot((at % shape[1]) - x, Math.floor(at / shape[1]) - y);
      });
      onPick(far.indexOf(Math.min(...far)));
    });
    return map;
  });
}

begin();

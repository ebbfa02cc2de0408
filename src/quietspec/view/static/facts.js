// What is known about a spectrum in words and numbers: flags, labels with intervals, and where the file comes from.

import { withError, written } from "./numbers.js";

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function flagsOf(bits, flags) {
  return flags.filter(({ bit }) => bits & bit);
}

export function showFlags(place, bits, flags) {
  const found = flagsOf(bits, flags);
  const items = found.map(({ name, words }) => element("li", {}, element("b", {}, name.toLowerCase()), ` ${words}`));
  const none = flags.length ? [element("p", {}, "No flags: nothing is odd about this spectrum.")] : [];
  place.replaceChildren(...(items.length ? [element("ul", {}, ...items)] : none));
}

// A table of the quantities of a spectrum, grouped; a click on a name shows its map.
export function showLabels(place, spectra, quantities, chosen, onChoose) {
  const groups = new Map();
  for (const quantity of quantities) {
    if (quantity.name.includes(":")) continue;
    if (!groups.has(quantity.group)) groups.set(quantity.group, []);
    groups.get(quantity.group).push(quantity);
  }
  const parts = [...groups].map(([group, members]) => {
    const known = spectra.filter((spectrum) => members.some(({ name }) => spectrum.labels.some((label) => label.name === name)));
    const rows = members.map((quantity) => labelRow(known, quantity, chosen, onChoose)).filter(Boolean);
    const table = element("table", {}, ...headOf(spectra, known), element("tbody", {}, ...rows));
    return rows.length ? element("div", { class: "group" }, element("h3", {}, group), table) : null;
  });
  place.replaceChildren(...parts.filter(Boolean));
}

// Which column is which file's, where there are two.
function headOf(spectra, known) {
  if (spectra.length < 2) return [];
  const cells = known.map((spectrum) => element("th", { scope: "col" }, element("i", { class: spectra.indexOf(spectrum) ? "swatch second" : "swatch", title: spectra.indexOf(spectrum) ? "second file" : "first file" })));
  return [element("thead", {}, element("tr", {}, element("td", {}), ...cells))];
}

function labelRow(spectra, quantity, chosen, onChoose) {
  const cells = spectra.map((spectrum) => {
    const label = spectrum && spectrum.labels.find(({ name }) => name === quantity.name);
    return label && label.value !== null ? withError(label.value, label.error ?? NaN) : null;
  });
  if (cells.every((cell) => cell === null)) return null;
  const name = element("button", { type: "button", title: "Show the map", onclick: () => onChoose(quantity.name) }, quantity.label);
  const values = cells.map((cell) => element("td", {}, cell || "–"));
  const unit = element("small", { title: quantity.unit }, quantity.unit);
  return element("tr", { class: quantity.name === chosen ? "chosen" : "" }, element("th", { scope: "row" }, name, unit), ...values);
}

const PROVENANCE = {
  QSVERS: "quietspec", QSMODEL: "Denoiser", QSHASH: "Model (SHA-256)", QSMETHOD: "Method", QSCMD: "Command", QSINPUT: "Input",
  QSINSHA: "SHA-256 of the input", DATE: "Written (UTC)", OBJECT: "Object", SURVEY: "Survey",
};

export function showProvenance(place, files) {
  const parts = files.flatMap((file) => {
    const entries = Object.entries(file.provenance).flatMap(([key, value]) => [element("dt", {}, PROVENANCE[key] || key), element("dd", {}, value)]);
    const input = file.input ? [element("dt", {}, "Input shown"), element("dd", {}, file.input.from)] : [];
    const notes = file.notes.length ? [element("dt", {}, "Notes of the reader"), ...file.notes.map((note) => element("dd", {}, note))] : [];
    return [element("dl", {}, element("dt", {}, "File"), element("dd", {}, file.name), ...entries, ...input, ...notes)];
  });
  place.replaceChildren(...parts);
}

export function placeName(file, spectrum) {
  const { row, sky, redshift } = spectrum;
  const name = file.shape ? `x = ${row % file.shape[1]}, y = ${Math.floor(row / file.shape[1])}` : `Spectrum ${row}`;
  const parts = [];
  if (sky) parts.push(`${written(sky[0], 8)}° ${sky[1] < 0 ? "" : "+"}${written(sky[1], 7)}°`);
  if (Number.isFinite(redshift) && redshift !== null) parts.push(`z = ${redshift.toFixed(5)}`);
  return [name, parts.join("  ·  ")];
}

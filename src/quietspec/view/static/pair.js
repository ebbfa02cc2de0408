// One file or two: which spaxels and quantities belong together.

import { page, state } from "./page.js";

// Spectra that form no image are shown as a block, in the order of their numbers.
export function gridOf(file) {
  if (file.shape) return file.shape;
  const nx = Math.ceil(Math.sqrt(file.n_spectra));
  return [Math.ceil(file.n_spectra / nx), nx];
}

export const linkedGrids = () => page.files.length === 2 && String(gridOf(page.files[0])) === String(gridOf(page.files[1]));
export const linked = () => page.files.length === 2 && String(page.files[0].grid) === String(page.files[1].grid);

// The spaxel of the second file at the place of one of the first.
export function counterpart(row, from, to) {
  if (from === to || linked()) return row;
  const [[ny, nx], [my, mx]] = [from.grid, to.grid];
  const x = Math.min(mx - 1, Math.floor((((row % nx) + 0.5) / nx) * mx));
  const y = Math.min(my - 1, Math.floor(((Math.floor(row / nx) + 0.5) / ny) * my));
  return Math.min(to.n_spectra - 1, y * mx + x);
}

export function allQuantities() {
  const found = new Map();
  for (const file of page.files) for (const quantity of file.quantities) if (!found.has(quantity.name)) found.set(quantity.name, quantity);
  return [...found.values()];
}

export const has = (file, name) => file.quantities.some((quantity) => quantity.name === name);
export const bothHave = () => linked() && page.files.every((file) => file.quantity.name === state.map);

// What a file shows where it has not the quantity that is chosen.
export function inFile(file, name) {
  const choices = [name, ...(name.startsWith("SNR") ? ["SNR", "SNR_IN"] : []), "WHITE", "SNR_IN", file.quantities[0].name];
  return choices.find((each) => has(file, each));
}

export const valid = (file, row) => (row !== null && row < file.n_spectra ? row : null);

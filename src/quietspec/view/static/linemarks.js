// Which lines are marked in a spectrum: those with data, not too close to each other.

import { observedAt } from "./waves.js";

// Marks whose pixel holds data.
export function visibleMarks(marks, { data, about }, toPixel) {
  if (!Number.isFinite(data.redshift)) return [];
  const found = [];
  for (const kind of ["emission", "absorption"]) {
    for (const line of marks[kind]) {
      const at = observedAt(line.wavelength, data.redshift, about.medium);
      if (hasData(data, about, at)) found.push({ ...line, kind, at, px: toPixel(at) });
    }
  }
  return found;
}

function hasData(data, about, at) {
  const x = about.wavelength;
  let [low, high] = [0, x.length - 1];
  if (at < x[low] || at > x[high]) return false;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x[middle] <= at) low = middle;
    else high = middle;
  }
  if ((about.gaps || []).includes(high)) return false;
  const values = data.flux || data.input;
  return values[low] === values[low] || values[high] === values[high];
}

// Keep marks apart from each other, strong ones first.
export function apart(marks, distance) {
  const kept = [];
  for (const mark of [...marks].sort((a, b) => Number(b.strong) - Number(a.strong))) {
    if (kept.every((other) => Math.abs(other.px - mark.px) >= distance)) kept.push(mark);
  }
  return kept;
}

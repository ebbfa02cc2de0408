// The part of the address after #, which reproduces what is seen.

const NUMBERS = ["row", "low", "high", "smooth"];
const TEXTS = ["map", "colours", "scale", "axis", "line", "index", "hatch", "hide"];

export function readLink(text) {
  const found = {};
  const given = new URLSearchParams(text.replace(/^#/, ""));
  for (const name of TEXTS) if (given.has(name)) found[name] = given.get(name);
  for (const name of NUMBERS) {
    const value = Number(given.get(name));
    if (given.has(name) && Number.isFinite(value)) found[name] = value;
  }
  const range = (given.get("range") || "").split(",").map(Number);
  if (range.length === 2 && range.every(Number.isFinite) && range[1] > range[0]) found.range = range;
  try {
    if (given.has("region")) found.region = JSON.parse(given.get("region"));
    if (given.has("bins")) found.bins = JSON.parse(given.get("bins"));
  } catch {
    // a link that was cut short shows no region, and no bins
  }
  return found;
}

export function writeLink(state) {
  const parts = new URLSearchParams();
  for (const name of TEXTS) if (state[name]) parts.set(name, state[name]);
  for (const name of NUMBERS) if (Number.isFinite(state[name])) parts.set(name, String(Number(state[name].toPrecision(7))));
  if (state.range) parts.set("range", state.range.map((value) => value.toFixed(1)).join(","));
  if (state.region) parts.set("region", JSON.stringify(rounded(state.region)));
  if (state.bins.length) parts.set("bins", JSON.stringify(state.bins));
  return `#${parts}`;
}

export function rounded(shape) {
  return JSON.parse(JSON.stringify(shape, (_, value) => (typeof value === "number" ? Math.round(value * 100) / 100 : value)));
}

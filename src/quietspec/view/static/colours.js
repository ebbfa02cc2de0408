// Colour maps for people with any colour vision, and colours of the page as canvases need them.

const STOPS = {
  cividis: "00224e002e6a1a386f32436d434e6c535a6d61656f6f70737d7c788c88789b9476aba072bcae6ccdbb63dec958f0d846fee838",
  viridis: "44015448186a472d7b4240863b528b33638d2c728e26828e21918c1fa08828ae803fbc735ec96284d44baddc30d8e219fde725",
  magma: "0000040a08221d114736106b51127c6a1c818326819c2e7fb73779d0416fe75263f56b5cfc8961fea772fec488fde2a3fcfdbf",
  grey: "ffffffefefefdfdfdfcfcfcfbfbfbfafafaf9f9f9f8f8f8f7f7f7f6f6f6f5f5f5f4f4f4f3f3f3f2f2f2f1f1f1f0f0f0f000000",
  "blue–red": "0530611752902a71b23f8ec06bacd19bc9e0c2ddece0ecf3f7f6f6fbe5d8fbccb4f5aa89e48066d05548ba2832930e2667001f",
  "orange–purple": "7f3b08a04d07be630adb7d12ef9e3cfdbd6efed7a2fbe9cff6f6f7e3e4efcecde4b6b0d4988dbe7967a65d379044176f2d004b",
};

export const COLOUR_MAPS = Object.keys(STOPS);
export const DIVERGING = "blue–red";

const tables = new Map();

// 256 colours as [r, g, b], interpolated between the stops.
export function colourTable(name) {
  if (!tables.has(name)) {
    const text = STOPS[name] || STOPS.cividis;
    const stops = text.match(/.{6}/g).map((hex) => [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16)));
    const table = Array.from({ length: 256 }, (_, k) => {
      const place = (k / 255) * (stops.length - 1);
      const low = Math.min(Math.floor(place), stops.length - 2);
      return stops[low].map((value, c) => Math.round(value + (place - low) * (stops[low + 1][c] - value)));
    });
    tables.set(name, table);
  }
  return tables.get(name);
}

// The page's colours, which follow the system's preference.
export function theme() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "panel", "ink", "soft", "faint", "line", "accent", "second", "input", "smooth", "amber", "void"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

export function withAlpha(hex, alpha) {
  const [r, g, b] = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}

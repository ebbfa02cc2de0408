// The mouse and the finger on a map.

import { element, flagsOf } from "./facts.js";
import { mark, valueAt } from "./maps.js";
import { keysOnMap } from "./keyboard.js";
import { $, page, state } from "./page.js";
import { counterpart, linked, valid } from "./pair.js";
import { select, showSpectrum } from "./spectra.js";

export function listenToMap(file, canvas) {
  const { map } = file;
  const toFirst = (row) => (row === null ? null : counterpart(row, file, page.files[0]));
  canvas.addEventListener("pointermove", (event) => {
    const place = map.toSpaxel(event);
    if (page.drawing.active) page.drawing.move(place);
    const row = map.rowAt(place);
    tooltip(event, file, row);
    if (!page.drawing.active && event.pointerType === "mouse") hover(toFirst(valid(file, row)));
  });
  canvas.addEventListener("pointerleave", () => {
    $("tooltip").hidden = true;
    hover(null);
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.focus({ preventScroll: true });
    const place = map.toSpaxel(event);
    if (page.drawing.active) {
      canvas.setPointerCapture(event.pointerId);
      page.drawing.down(place);
      event.preventDefault();
      return;
    }
    const row = valid(file, map.rowAt(place));
    if (row !== null) select(toFirst(row));
  });
  canvas.addEventListener("pointerup", () => page.drawing.up());
  canvas.addEventListener("dblclick", () => (page.drawing.tool === "polygon" ? page.drawing.finish() : undefined));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const place = map.toSpaxel(event);
    for (const each of linked() ? page.files : [file]) each.map.zoom(event.deltaY > 0 ? 1.25 : 0.8, place);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => keysOnMap(event, file));
}

let hovered = null;
function hover(row) {
  if (row === hovered) return;
  hovered = row;
  mark(row === state.row ? null : row, "cursor");
  if (page.shown.region || state.region) return;
  if (row !== null) showSpectrum(row, row !== state.row);
  else if (state.row !== null) showSpectrum(state.row, false);
}

function tooltip(event, file, row) {
  const box = $("tooltip");
  if (valid(file, row) === null) {
    box.hidden = true;
    return;
  }
  const flags = file.flagBits ? flagsOf(file.flagBits[row], file.flags) : [];
  const lines = [valueAt(file, row), ...flags.map(({ name, words }) => `${name.toLowerCase()}: ${words}`)].filter(Boolean);
  box.replaceChildren(...lines.map((line) => element("div", {}, line)));
  box.hidden = !lines.length;
  const right = event.clientX + 280 > window.innerWidth;
  box.style.left = right ? "auto" : `${event.clientX + 14}px`;
  box.style.right = right ? `${window.innerWidth - event.clientX + 14}px` : "auto";
  box.style.top = `${Math.min(event.clientY + 14, window.innerHeight - 60)}px`;
}

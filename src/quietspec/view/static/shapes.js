// Regions and names on a map.

function pathOf(map, shape) {
  const path = new Path2D();
  if (shape.type === "rectangle") {
    const [px, py] = map.toCanvas(Math.min(shape.x0, shape.x1) - 0.5, Math.max(shape.y0, shape.y1) + 0.5);
    const [qx, qy] = map.toCanvas(Math.max(shape.x0, shape.x1) + 0.5, Math.min(shape.y0, shape.y1) - 0.5);
    path.rect(px, py, qx - px, qy - py);
  } else if (shape.type === "circle") {
    const [px, py] = map.toCanvas(shape.x, shape.y);
    const scale = map.box.width / (map.window.x1 - map.window.x0);
    path.ellipse(px, py, shape.r * scale, shape.r * scale * map.stretch(), 0, 0, 2 * Math.PI);
  } else {
    shape.points.forEach(([x, y], k) => path[k ? "lineTo" : "moveTo"](...map.toCanvas(x, y)));
    if (shape.points.length > 2) path.closePath();
  }
  return path;
}

export function drawShape(map, context, shape, draft, paint = "#ffd166") {
  const path = pathOf(map, shape);
  context.setLineDash(draft ? [4, 3] : []);
  for (const [colour, width] of [["rgba(0,0,0,0.85)", 3.5], [paint, 1.6]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke(path);
  }
  context.setLineDash([]);
}

export function drawName(map, context, text, x, y) {
  const [px, py] = map.toCanvas(x, y);
  context.font = "600 11px system-ui, sans-serif";
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.strokeStyle = "rgba(0,0,0,0.8)";
  context.strokeText(text, px + 2, py);
  context.fillStyle = "#ffffff";
  context.fillText(text, px + 2, py);
}

// A kept region, with its number at its highest place.
export function drawBin(map, context, shape, name) {
  drawShape(map, context, shape, false, "#ffffff");
  if (shape.type === "polygon") drawName(map, context, name, ...shape.points.reduce((top, point) => (point[1] > top[1] ? point : top)));
  else if (shape.type === "circle") drawName(map, context, name, shape.x, shape.y + shape.r);
  else drawName(map, context, name, Math.min(shape.x0, shape.x1), Math.max(shape.y0, shape.y1));
}

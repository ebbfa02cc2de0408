// Regions drawn on a map, by pointer or by keys: a draft until it is finished.

export class Drawing {
  constructor({ onDraft, onDone, say }) {
    Object.assign(this, { onDraft, onDone, say });
    this.tool = "";
    this.draft = null;
    this.dragged = false;
  }

  start(tool) {
    this.tool = tool;
    this.cancel();
  }

  cancel() {
    this.draft = null;
    this.anchor = null;
    this.onDraft(null);
  }

  get active() {
    return this.tool !== "";
  }

  down(place) {
    if (this.tool === "polygon") {
      const points = this.draft ? [...this.draft.points] : [];
      const first = points[0];
      const closes = points.length > 2 && Math.hypot(place.x - first[0], place.y - first[1]) < 0.8;
      if (closes) return this.finish();
      this.update({ type: "polygon", points: [...points, [place.x, place.y]] });
      return undefined;
    }
    this.anchor = place;
    this.dragged = true;
    return this.move(place);
  }

  move(place) {
    if (!this.anchor) return;
    const { x, y } = this.anchor;
    if (this.tool === "rectangle") {
      this.update({ type: "rectangle", x0: Math.round(x), y0: Math.round(y), x1: Math.round(place.x), y1: Math.round(place.y) });
    } else if (this.tool === "circle") {
      this.update({ type: "circle", x, y, r: Math.max(0.5, Math.hypot(place.x - x, place.y - y)) });
    }
  }

  up() {
    if (!this.dragged) return;
    this.dragged = false;
    if (this.draft) this.finish();
  }

  update(draft) {
    this.draft = draft;
    this.onDraft(draft);
  }

  // Space: a corner, the centre, or a vertex at the cursor.
  corner(place) {
    if (this.tool === "polygon") {
      this.down({ x: place.x, y: place.y });
      this.say(`${this.draft ? this.draft.points.length : 0} corners; Enter closes the polygon`);
    } else if (!this.anchor) {
      this.anchor = place;
      this.move(place);
      this.say("first corner set; move with the arrows, Enter ends");
    } else {
      this.finish();
    }
  }

  finish() {
    const { draft } = this;
    if (!draft || (draft.type === "polygon" && draft.points.length < 3)) {
      this.say("a polygon needs three corners");
      return;
    }
    this.draft = null;
    this.anchor = null;
    this.onDone(draft);
  }
}

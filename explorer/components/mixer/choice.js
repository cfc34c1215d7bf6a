// Methods of the mixer: walking through rows, the chosen row, rows marked to move together.
const choice = {
  // All items one can walk through, in the order shown.
  walk() {
    const items = [this.all];
    const heads = new Set();
    for (const stage of this.shownStages) {
      if (stage.collapsed) heads.add(stage);
    }
    if (!this.shownStages.length) return items.concat(this.shown);
    for (const stage of this.stages) {
      if (this.shownStages.includes(stage)) items.push(stage.bunch);
      if (!heads.has(stage)) items.push(...stage.rows.filter((row) => this.shown.includes(row)));
    }
    return items;
  },

  focusTarget(item) { return item.parts.slider || item.element; },

  setActive(item) {
    if (this.active) this.focusTarget(this.active).tabIndex = -1;
    this.active = item;
    this.focusTarget(item).tabIndex = 0;
  },

  focusItem(item) {
    this.setActive(item);
    this.focusTarget(item).focus({ preventScroll: true });
    item.element.scrollIntoView({ block: 'nearest' });
  },

  step(direction, extend) {
    const items = this.walk();
    const next = items[clamp(items.indexOf(this.active) + direction, 0, items.length - 1)];
    if (extend) this.extendTo(next); else this.goTo(next);
  },

  goTo(item) {
    this.clearMarks();
    this.focusItem(item);
    if (!item.isBunch) this.choose(item);
  },

  extendTo(item) {
    if (item.isBunch) return;
    const anchor = this.byName.get(this.view.selected) || this.active;
    this.markRange(anchor, item);
    this.focusItem(item);
  },

  markRange(anchor, item) {
    const from = this.shown.indexOf(anchor), to = this.shown.indexOf(item);
    const [low, high] = from < 0 ? [to, to] : [Math.min(from, to), Math.max(from, to)];
    this.setMarks(new Set(this.shown.slice(low, high + 1)));
  },

  toggleMark(row) {
    const marked = new Set(this.rows.filter((other) => other.marked));
    const selected = this.byName.get(this.view.selected);
    if (!marked.size && selected) marked.add(selected);
    if (marked.has(row)) marked.delete(row); else marked.add(row);
    this.setMarks(marked);
  },

  // Select the layers that the row is coupled with, whether its wish binds them now or not.
  markGroup(row) {
    if (row?.data?.group) this.setMarks(new Set(this.rows.filter((other) => isKin(row, other))));
  },

  clearMarks() { this.setMarks(new Set()); },

  setMarks(marked) {
    for (const row of this.rows) {
      const on = marked.size > 1 && marked.has(row);
      if (row.marked === on) continue;
      row.marked = on;
      this.schedule(row);
    }
  },

  // Mark the row as chosen now; tell Python a little later, so that holding J does not ask for each row passed.
  choose(row, wait = 120) {
    if (this.view.selected === row.name) return;
    const before = this.byName.get(this.view.selected);
    this.view.selected = row.name;
    this.chosenAt = performance.now();
    if (before) this.schedule(before);
    this.schedule(row);
    this.tellLater(wait);
  },

  tellLater(wait) {
    clearTimeout(this.chooseTimer);
    this.chooseTimer = setTimeout(() => this.tellChoice(), wait);
  },

  // Not in the middle of a drag: the run that a trigger starts would compete with the drag's own.
  tellChoice() {
    if (this.drag) { this.tellLater(200); return; }
    this.chooseTimer = null;
    this.chosenAt = performance.now();
    this.choiceSeq = this.outbox.trigger('select', { layer: this.view.selected });
  },

  // Whether Python may not know the user's last choice yet.
  choiceUnknown({ ack }) {
    if (this.chooseTimer) return true;
    if (ack != null) return this.choiceSeq > ack;
    return this.chosenAt && performance.now() - this.chosenAt < 1500;
  },
};

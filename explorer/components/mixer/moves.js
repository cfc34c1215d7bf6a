// Methods of the mixer: sliders, one commit for each release, key or choice.
const moves = {
  itemOf(element) { return this.itemByElement.get(element.closest('.rw')); },

  membersOf(item) {
    if (item.isBunch) return withKin(this, item.members).filter(movable);
    const marked = this.rows.filter((row) => row.marked && movable(row));
    return withKin(this, item.marked && marked.length > 1 ? marked : [item]).filter(movable);
  },

  beginDrag(item, byKey = false) {
    if (this.drag) this.finishDrag();
    const members = this.membersOf(item);
    this.drag = { source: item, members, byKey, start: new Map(members.map((row) => [row, row.sparsity])) };
    for (const row of members) row.moving = true;
    item.moving = true;
    if (!byKey) this.drag.place = this.placeOf(item);
  },

  // Read once: the row does not move during a drag.
  placeOf(item) {
    const home = this.root.getBoundingClientRect(), curve = item.parts.curve.getBoundingClientRect();
    return { left: curve.left - home.left, width: curve.width, top: curve.top - home.top - 24, home: home.width };
  },

  slide(item, target) {
    if (!this.drag || this.drag.source !== item) this.beginDrag(item);
    const { members, start } = this.drag;
    const inProportion = item.isBunch && this.mode === 'proportion';
    const valueOf = inProportion ? proportional(members, (row) => start.get(row), this.movableTarget(item, members, target)) : () => target;
    const changes = {};
    for (const row of members) {
      // Fine steps keep proportions; a slider of one row goes in whole percent.
      row.sparsity = snap(row, valueOf(row), inProportion);
      changes[row.name] = { sparsity: row.sparsity };
      this.schedule(row);
    }
    this.outbox.drag(changes);
  },

  // A bunch shows the mean of all its members; what the locked ones hold must come from the others.
  movableTarget(item, moving, target) {
    const total = item.members.reduce((sum, row) => sum + (row.data.prunable ? row.data.n_weights : 0), 0);
    const free = moving.reduce((sum, row) => sum + row.data.n_weights, 0);
    const held = item.members.reduce((sum, row) => sum + (row.data.prunable && row.locked ? row.data.n_weights * row.sparsity : 0), 0);
    return free ? clamp((target * total - held) / free, 0, 0.999) : 0;
  },

  slideByKey(item, target) {
    if (!this.drag || this.drag.source !== item || !this.drag.byKey) this.beginDrag(item, true);
    this.slide(item, target);
    this.paintPending();
  },

  finishDrag() {
    const { drag } = this;
    if (!drag) return;
    this.drag = null;
    drag.source.moving = false;
    const changes = {};
    for (const row of drag.members) {
      row.moving = false;
      if (!same(row.sparsity, drag.start.get(row))) changes[row.name] = { sparsity: row.sparsity };
      this.schedule(row);
    }
    this.dragTip.hidden = true;
    this.outbox.flushDrag();
    this.commit(changes);
    this.schedule('view');
  },

  commit(changes) {
    const names = Object.keys(changes);
    if (!names.length) return;
    const seq = this.outbox.trigger('commit', { changes });
    for (const name of names) this.byName.get(name).seq = seq;
  },

  // Set something at once, without a drag: typed figure, select, lock.
  setAll(rows, key, valueOf) {
    const changes = {};
    for (const row of rows) {
      const value = valueOf(row);
      if (row[key] === value) continue;
      row[key] = value;
      changes[row.name] = { [key]: value };
      this.schedule(row);
    }
    this.commit(changes);
  },

  setSparsity(item, target) {
    const members = this.membersOf(item);
    if (!item.isBunch || this.mode === 'same') { this.setAll(members, 'sparsity', (row) => snap(row, target, true)); return; }
    const start = new Map(members.map((row) => [row, row.sparsity]));
    const valueOf = proportional(members, (row) => start.get(row), this.movableTarget(item, members, target));
    this.setAll(members, 'sparsity', (row) => snap(row, valueOf(row), true));
  },

  toggleLock(item) {
    if (!item || item.isBunch || !item.data.prunable) return;
    const locked = !item.locked;
    const rows = item.marked ? this.rows.filter((row) => row.marked && row.data.prunable) : [item];
    this.setAll(withKin(this, rows), 'locked', () => locked);
  },

  setOption(item, key, value) {
    if (!value) return;
    const options = (row) => (key === 'granularity' ? row.data.granularities || this.view.granularities : row.data.criteria || this.view.criteria);
    const fits = (row) => options(row).some((option) => option.value === value && !option.disabled);
    this.setAll(this.membersOf(item).filter(fits), key, () => value);
    if (item.isBunch) this.schedule(this.rows[0]);
  },

  command(command) { this.outbox.trigger('command', command); },
};

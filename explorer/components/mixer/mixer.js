// The layer mixer: one grid of layers, each with its sensitivity curve lying on its slider.
// Built once per `data.signature`; afterwards everything is patched in place.

class Mixer {
  constructor(parent, data) {
    this.root = document.createElement('section');
    this.root.className = 'mixer';
    this.root.setAttribute('aria-label', 'Layer mixer');
    this.root.innerHTML = frameHtml();
    this.signature = data.signature;
    this.data = data;
    this.cache = {};
    this.outbox = new Outbox(data.ack ?? 0);
    this.pending = new Set();
    Object.assign(this, { filter: 'all', sort: 'model', search: '', mode: 'proportion', drag: null, shownStages: [] });
    this.scroller = this.find('.scroller');
    this.body = this.find('.body');
    this.view = { compact: data.rows.length >= MANY_ROWS };
    this.createItems(data);
    this.readView(data);
    this.listen();
    parent.appendChild(this.root);
    this.active = this.byName.get(data.selected) || this.rows[0] || this.all;
    arrange(this);
    this.paintAll();
    arrange(this);
    this.setActive(this.active);
    createOverview(this);
    createHints(this);
  }

  find(selector) { return this.root.querySelector(selector); }
  focused() { return this.root.getRootNode().activeElement; }
  focusedPart() { const element = this.focused(); return element && this.body.contains(element) ? element : null; }

  createItems(data) {
    this.rows = data.rows.map(createRow);
    this.byName = new Map(this.rows.map((row) => [row.name, row]));
    this.itemByElement = new Map(this.rows.map((row) => [row.element, row]));
    this.all = createBunch({ name: null, title: 'All layers', className: 'all', extra: { selects: true,
      share: '<select class="sl mode" tabindex="-1" aria-label="How layers move together"><option value="proportion">in proportion</option><option value="same">all the same</option></select>' } });
    this.all.members = this.rows;
    this.itemByElement.set(this.all.element, this.all);
    this.scroller.insertBefore(this.all.element, this.body);
    this.stages = createStages(this);
    for (const stage of this.stages) if (stage.bunch) this.itemByElement.set(stage.bunch.element, stage.bunch);
    this.find('.density').hidden = this.rows.length < MANY_ROWS;
    this.scroller.setAttribute('aria-rowcount', this.rows.length + 2);
  }

  // What painting needs to know besides the row.
  readView(data) {
    const largest = Math.max(0.001, ...data.rows.map((row) => row.share_params || 0));
    Object.assign(this.view, { tolerance: data.tolerance, granularities: data.granularities || [], criteria: data.criteria || [],
      fullShare: this.view.compact ? largest : 0.5, selected: this.view.selected ?? data.selected });
    this.root.classList.toggle('compact', this.view.compact);
    this.root.style.setProperty('--limit-y', curveY(-data.tolerance, data.tolerance));
    if (data.height) this.root.style.setProperty('--mixer-height', data.height === 'content' ? 'none' : data.height);
  }

  // ---- data from Python ----

  update(data) {
    const pushed = data.push !== this.data.push;
    const before = this.data;
    this.data = data;
    this.outbox.acknowledge(data.ack);
    this.readView(data);
    let curvesChanged = before.tolerance !== data.tolerance;
    data.rows.forEach((next, k) => {
      const row = this.rows[k];
      curvesChanged = curvesChanged || !sameCurve(row.data.curve, next.curve);
      row.data = next;
      if (pushed && !row.moving && !(data.ack != null && row.seq > data.ack)) takeValues(row);
    });
    this.takeSelected(before.selected, data.selected, pushed);
    this.paintAll();
    if (curvesChanged && this.sort === 'sensitive' && !this.drag) arrange(this);
  }

  // Python's choice counts, unless the user has chosen another row a moment ago.
  takeSelected(before, next, pushed) {
    if (next === before && !pushed) return;
    const waiting = this.chosenAt && performance.now() - this.chosenAt < 1500;
    if (next === this.view.selected || (waiting && !pushed)) return;
    this.view.selected = next;
    const row = this.byName.get(next);
    if (!row || this.focusedPart()) return;
    this.setActive(row);
    row.element.scrollIntoView?.({ block: 'nearest' });
  }

  // ---- painting ----

  paintAll() {
    for (const row of this.rows) {
      paintCurve(row, this.view.tolerance);
      paintRow(row, this.view);
      paintBar(row);
    }
    this.paintBunches();
    paintToolbar(this);
    paintMessages(this);
    paintLegend(this);
  }

  paintBunches() {
    const prunable = this.rows.filter((row) => row.data.prunable);
    const locked = prunable.filter((row) => row.locked).length;
    const caption = `${prunable.length - locked} of ${this.rows.length} move${locked ? `, ${locked} locked` : ''}`;
    const { drop } = this.data.overall;
    const level = { above: 'above', undecided: 'undecided', measured: 'within' }[drop.state]
      || (drop.value == null ? 'within' : levelOf(drop.value, drop.half, this.view.tolerance));
    paintBunch(this.all, dropHtml({ ...drop, level }, false), caption);
    paintSharedSelect(this.all, this.all.parts.granularity, 'granularity', this.view.granularities);
    paintSharedSelect(this.all, this.all.parts.criterion, 'criterion', this.view.criteria);
    for (const stage of this.stages) if (stage.bunch) paintStage(stage, this.view);
  }

  // Work for the next frame: rows to paint, or 'view' for the overview's frame.
  schedule(what) {
    this.pending.add(what);
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => { this.frame = null; this.paintPending(); });
  }

  paintPending() {
    const rows = [...this.pending].filter((item) => item !== 'view');
    if (this.pending.has('view')) paintView(this);
    this.pending.clear();
    for (const row of rows) { paintRow(row, this.view); paintBar(row); }
    if (!rows.length) return;
    this.paintBunches();
    paintToolbar(this);
    paintDragTip(this);
  }

  // ---- moving sliders ----

  itemOf(element) { return this.itemByElement.get(element.closest('.rw')); }

  membersOf(item) {
    if (item.isBunch) return item.members.filter(movable);
    const marked = this.rows.filter((row) => row.marked && movable(row));
    return item.marked && marked.length > 1 ? marked : [item].filter(movable);
  }

  beginDrag(item, byKey = false) {
    if (this.drag) this.finishDrag();
    const members = this.membersOf(item);
    this.drag = { source: item, members, byKey, start: new Map(members.map((row) => [row, row.sparsity])) };
    for (const row of members) row.moving = true;
    item.moving = true;
    if (!byKey) this.drag.place = this.placeOf(item);
  }

  // Read once: the row does not move during a drag.
  placeOf(item) {
    const home = this.root.getBoundingClientRect(), curve = item.parts.curve.getBoundingClientRect();
    return { left: curve.left - home.left, width: curve.width, top: curve.top - home.top - 24, home: home.width };
  }

  slide(item, target) {
    if (!this.drag || this.drag.source !== item) this.beginDrag(item);
    const { members, start } = this.drag;
    const inProportion = item.isBunch && this.mode === 'proportion';
    const valueOf = inProportion ? proportional(members, (row) => start.get(row), this.movableTarget(item, target)) : () => target;
    const changes = {};
    for (const row of members) {
      // Fine steps keep proportions; a slider of one row goes in whole percent.
      row.sparsity = snap(row, valueOf(row), inProportion);
      changes[row.name] = { sparsity: row.sparsity };
      this.schedule(row);
    }
    this.outbox.drag(changes);
  }

  // A bunch shows the mean of all its members; what the locked ones hold must come from the others.
  movableTarget(item, target) {
    const moving = this.drag.members;
    const total = item.members.reduce((sum, row) => sum + (row.data.prunable ? row.data.n_weights : 0), 0);
    const free = moving.reduce((sum, row) => sum + row.data.n_weights, 0);
    const held = item.members.reduce((sum, row) => sum + (row.data.prunable && row.locked ? row.data.n_weights * row.sparsity : 0), 0);
    return free ? clamp((target * total - held) / free, 0, 0.999) : 0;
  }

  slideByKey(item, target) {
    if (!this.drag || this.drag.source !== item || !this.drag.byKey) this.beginDrag(item, true);
    this.slide(item, target);
    this.paintPending();
  }

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
    if (drag.source.isBunch) drag.source.cache.position = null;
    this.find('.drag-tip').hidden = true;
    this.outbox.flushDrag();
    this.commit(changes);
    this.schedule('view');
  }

  commit(changes) {
    const names = Object.keys(changes);
    if (!names.length) return;
    const seq = this.outbox.trigger('commit', { changes });
    for (const name of names) this.byName.get(name).seq = seq;
  }

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
  }

  setSparsity(item, target) {
    const members = this.membersOf(item);
    if (!item.isBunch || this.mode === 'same') { this.setAll(members, 'sparsity', (row) => snap(row, target, true)); return; }
    this.beginDrag(item, true);
    const valueOf = proportional(members, (row) => row.sparsity, this.movableTarget(item, target));
    this.drag = null;
    item.moving = false;
    for (const row of members) row.moving = false;
    this.setAll(members, 'sparsity', (row) => snap(row, valueOf(row), true));
  }

  toggleLock(item) {
    if (!item || item.isBunch || !item.data.prunable) return;
    const locked = !item.locked;
    const rows = item.marked ? this.rows.filter((row) => row.marked && row.data.prunable) : [item];
    this.setAll(rows, 'locked', () => locked);
  }

  setOption(item, key, value) {
    if (!value) return;
    const options = (row) => (key === 'granularity' ? row.data.granularities || this.view.granularities : row.data.criteria || this.view.criteria);
    const fits = (row) => options(row).some((option) => option.value === value && !option.disabled);
    this.setAll(this.membersOf(item).filter(fits), key, () => value);
    if (item.isBunch) this.schedule(this.rows[0]);
  }

  command(command) { this.outbox.trigger('command', command); }

  // ---- number field ----

  typeNumber(item, digit) {
    this.enterRow(item);
    item.parts.field.value = digit;
  }

  enterRow(item) {
    const first = item.parts.field && !item.parts.field.disabled ? item.parts.field : item.parts.lock;
    if (!first) return;
    first.focus();
    if (first.select) first.select();
  }

  restoreField(item) {
    item.editing = false;
    item.cache.percent = null;
    item.parts.field.value = item.isBunch ? `${Math.round(100 * item.sparsity)} %` : percentText(item.sparsity);
  }

  commitField(item) {
    if (!item.editing) return;
    const text = item.parts.field.value, sparsity = parsePercent(text);
    const shown = item.isBunch ? `${Math.round(100 * item.sparsity)} %` : percentText(item.sparsity);
    if (sparsity != null && text !== shown) this.setSparsity(item, Math.min(1, sparsity));
    this.restoreField(item);
  }

  commitTolerance() {
    const field = this.find('.tolerance');
    const value = Number(field.value.replace('pt', '').replace(',', '.').trim());
    if (value > 0 && value <= 100 && value !== this.data.tolerance) this.command({ kind: 'tolerance', value });
    else this.resetTolerance();
  }

  resetTolerance() { this.find('.tolerance').value = `${this.data.tolerance.toFixed(1)} pt`; }

  // ---- rows: focus, choice, marks ----

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
  }

  focusTarget(item) { return item.parts.slider || item.element; }

  setActive(item) {
    if (this.active) this.focusTarget(this.active).tabIndex = -1;
    this.active = item;
    this.focusTarget(item).tabIndex = 0;
  }

  focusItem(item) {
    this.setActive(item);
    this.focusTarget(item).focus({ preventScroll: true });
    item.element.scrollIntoView({ block: 'nearest' });
  }

  step(direction, extend) {
    const items = this.walk();
    const next = items[clamp(items.indexOf(this.active) + direction, 0, items.length - 1)];
    if (extend) this.extendTo(next); else this.goTo(next);
  }

  goTo(item) {
    this.clearMarks();
    this.focusItem(item);
    if (!item.isBunch) this.choose(item);
  }

  extendTo(item) {
    if (item.isBunch) return;
    const anchor = this.byName.get(this.view.selected) || this.active;
    this.markRange(anchor, item);
    this.focusItem(item);
  }

  markRange(anchor, item) {
    const from = this.shown.indexOf(anchor), to = this.shown.indexOf(item);
    const [low, high] = from < 0 ? [to, to] : [Math.min(from, to), Math.max(from, to)];
    this.setMarks(new Set(this.shown.slice(low, high + 1)));
  }

  toggleMark(row) {
    const marked = new Set(this.rows.filter((other) => other.marked));
    const selected = this.byName.get(this.view.selected);
    if (!marked.size && selected) marked.add(selected);
    if (marked.has(row)) marked.delete(row); else marked.add(row);
    this.setMarks(marked);
  }

  clearMarks() { this.setMarks(new Set()); }

  setMarks(marked) {
    for (const row of this.rows) {
      const on = marked.size > 1 && marked.has(row);
      if (row.marked === on) continue;
      row.marked = on;
      this.schedule(row);
    }
  }

  // Mark the row as chosen now; tell Python a little later, so that holding J does not ask for each row passed.
  choose(row, wait = 120) {
    if (this.view.selected === row.name) return;
    const before = this.byName.get(this.view.selected);
    this.view.selected = row.name;
    this.chosenAt = performance.now();
    if (before) this.schedule(before);
    this.schedule(row);
    clearTimeout(this.chooseTimer);
    this.chooseTimer = setTimeout(() => this.tellChoice(), wait);
  }

  // Not in the middle of a drag: the run that a trigger starts would compete with the drag's own.
  tellChoice() {
    if (this.drag) { this.chooseTimer = setTimeout(() => this.tellChoice(), 200); return; }
    this.chosenAt = performance.now();
    this.outbox.trigger('select', { layer: this.view.selected });
  }

  setSearch(text) { this.search = text; arrange(this); }
  setFilter(filter) { this.filter = filter; arrange(this); paintToolbar(this); }

  setDensity(compact) {
    this.view.compact = compact;
    this.readView(this.data);
    this.paintAll();
    layoutOverview(this);
  }

  showAll() {
    this.find('.find input').value = '';
    this.search = '';
    this.setFilter('all');
  }

  // ---- events of the browser ----

  listen() {
    const on = (type, handler) => this.root.addEventListener(type, handler);
    on('keydown', (event) => onKeyDown(this, event));
    on('keyup', (event) => onKeyUp(this, event));
    on('input', (event) => this.onInput(event.target));
    on('change', (event) => this.onChange(event.target));
    on('mousedown', (event) => this.onMouseDown(event));
    on('click', (event) => this.onClick(event.target));
    on('focusin', (event) => this.onFocusIn(event.target));
    on('focusout', (event) => this.onFocusOut(event.target));
  }

  onInput(target) {
    if (target.matches('.find input')) this.setSearch(target.value);
    if (!target.matches('.range')) return;
    const item = this.itemOf(target);
    if (item.locked) { target.value = 100 * item.sparsity; return; }
    this.slide(item, Number(target.value) / 100);
    if (!item.isBunch) target.value = 100 * item.sparsity;
  }

  onChange(target) {
    if (target.matches('.range')) this.finishDrag();
    else if (target.matches('.sort')) { this.sort = target.value; arrange(this); }
    else if (target.matches('.mode')) this.mode = target.value;
    else if (target.closest('.gran')) this.setOption(this.itemOf(target), 'granularity', target.value);
    else if (target.closest('.crit')) this.setOption(this.itemOf(target), 'criterion', target.value);
    else if (target.matches('.tolerance')) this.commitTolerance();
  }

  onMouseDown(event) {
    const element = event.target.closest('.rw');
    if (!element || event.button !== 0) return;
    const item = this.itemByElement.get(element);
    const onSlider = event.target.matches('.range');
    if (!item.isBunch && (event.shiftKey || event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (event.shiftKey) this.markRange(this.byName.get(this.view.selected) || item, item); else this.toggleMark(item);
      this.focusItem(item);
      return;
    }
    if (!item.isBunch) {
      if (!item.marked) this.clearMarks();
      this.choose(item, 0);
    }
    this.setActive(item);
    if (onSlider && !item.locked) this.watchRelease();
    else if (!event.target.closest('input, select, button')) { event.preventDefault(); this.focusItem(item); }
  }

  // `change` ends a drag; a release anywhere does too, should a browser not send it.
  watchRelease() {
    window.addEventListener('pointerup', () => setTimeout(() => { if (this.drag && !this.drag.byKey) this.finishDrag(); }, 0), { once: true });
  }

  onClick(target) {
    const button = target.closest('button');
    if (!button) return;
    const item = button.closest('.rw') && this.itemOf(button);
    if (button.dataset.filter) this.setFilter(button.dataset.filter);
    else if (button.dataset.density) this.setDensity(button.dataset.density === 'compact');
    else if (button.matches('.lk')) this.toggleLock(item);
    else if (button.matches('.caret')) setCollapsed(this, item.stage, !item.stage.collapsed);
    else if ('measure' in button.dataset) this.command({ kind: 'measure', layer: item.name });
    else if ('all' in button.dataset) this.showAll();
    else if (button.matches('.keys-button')) toggleKeys(this);
  }

  onFocusIn(target) {
    if (!target.closest('.pct')) return;
    this.itemOf(target).editing = true;
    target.select();
  }

  onFocusOut(target) {
    if (target.closest('.pct')) this.commitField(this.itemOf(target));
    if (target.matches('.range') && this.drag?.byKey) this.finishDrag();
  }

  destroy() {
    this.outbox.stop();
    clearTimeout(this.chooseTimer);
    cancelAnimationFrame(this.frame);
    this.resizes?.disconnect();
    this.root.remove();
  }
}

const mixers = new WeakMap();

export default function mount(component) {
  const { data, parentElement } = component;
  let mixer = mixers.get(parentElement);
  if (mixer && mixer.signature !== data.signature) { mixer.destroy(); mixer = null; }
  if (mixer) mixer.update(data);
  else {
    mixer = new Mixer(parentElement, data);
    mixers.set(parentElement, mixer);
    mixer.outbox.acknowledge(data.ack);
  }
  mixer.outbox.connect(component);
  return () => { mixers.get(parentElement)?.destroy(); mixers.delete(parentElement); };
}

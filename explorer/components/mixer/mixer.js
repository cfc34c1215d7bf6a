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
    Object.assign(this, { filter: 'all', sort: 'model', search: '', mode: 'proportion', drag: null, choiceSeq: 0, shownStages: [] });
    this.scroller = this.find('.scroller');
    this.body = this.find('.body');
    this.dragTip = this.find('.drag-tip');
    this.buttons = { filters: [...this.root.querySelectorAll('[data-filter]')], density: [...this.root.querySelectorAll('[data-density]')] };
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
    watchSight(this);
    createHints(this);
    watchKin(this);
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
    this.takeSelected(before.selected, data, pushed);
    this.paintAll();
    if (curvesChanged && this.sort === 'sensitive' && !this.drag) arrange(this);
  }

  // Python's choice counts, unless the user has chosen another row that Python cannot know yet.
  takeSelected(before, data, pushed) {
    const next = data.selected;
    if ((next === before && !pushed) || next === this.view.selected || this.choiceUnknown(data)) return;
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
    }
    this.root.classList.toggle('grouped', this.rows.some((row) => row.data.group));
    paintRails(this);
    this.paintBunches();
    paintOverview(this);
    paintToolbar(this);
    if (this.focused() !== this.find('.tolerance')) this.resetTolerance();
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
    for (const row of rows) this.paintSoon(row);
    if (!rows.length) return;
    this.paintBunches();
    paintOverview(this);
    paintToolbar(this);
    paintDragTip(this);
  }

  paintSoon(row) {
    row.stale = this.drag && row.inSight === false;
    if (row.stale) row.level = shownDrop(row, this.view.tolerance).level;
    else paintRow(row, this.view);
  }

  // ---- what is shown ----

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
      // A slider is often dragged next: then Python hears of the choice after the drag.
      this.choose(item, onSlider ? 250 : 0);
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
    else if ('options' in button.dataset) this.command({ kind: 'plan_options' });
    else if ('fit' in button.dataset) this.command({ kind: 'fit' });
    else if ('all' in button.dataset) this.showAll();
    else if (button.matches('.keys-button')) toggleKeys(this);
  }

  onFocusIn(target) {
    if (target.matches('.range')) this.setActive(this.itemOf(target));
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
    this.sight?.disconnect();
    this.root.remove();
  }
}

Object.assign(Mixer.prototype, moves, fields, choice);

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

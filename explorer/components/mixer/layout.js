// Which rows are shown, in what order: filter, search, sort, stages and the overview strip at the right edge.

const MANY_ROWS = 100;
const FILTERS = {
  all: () => true,
  pruned: (row) => row.data.prunable && row.sparsity > 0,
  locked: (row) => row.data.prunable && row.locked,
  above: (row) => row.data.prunable && row.sparsity > 0 && row.level === 'above',
};
const SORTS = [['model', 'Model order'], ['sensitive', 'Most sensitive'], ['params', 'Most parameters']];

function sortRows(rows, sort, tolerance) {
  // Without a curve nothing is known of a layer, so it comes last.
  const limit = (row) => (row.data.prunable && row.data.curve ? largestWithin(row.data.curve, tolerance) : 2);
  if (sort === 'sensitive') return [...rows].sort((a, b) => limit(a) - limit(b));
  if (sort === 'params') return [...rows].sort((a, b) => (b.data.share_params || 0) - (a.data.share_params || 0));
  return rows;
}

// Put the shown rows into the body. Nodes are moved, never made anew.
function arrange(mixer) {
  const { body, rows } = mixer;
  const focused = mixer.focusedPart();
  const wanted = mixer.search.trim().toLowerCase();
  const shown = rows.filter((row) => FILTERS[mixer.filter](row) && row.name.toLowerCase().includes(wanted));
  const flat = sortRows(shown, mixer.sort, mixer.data.tolerance);
  const inStages = mixer.sort === 'model' && mixer.stages.length > 0;
  body.replaceChildren(...(inStages ? stageNodes(mixer, new Set(shown)) : flat.map((row) => row.element)));
  mixer.shown = inStages ? shown.filter((row) => !row.stage?.collapsed) : flat;
  mixer.shownStages = inStages ? mixer.stages.filter((stage) => stage.bunch && stage.rows.some((row) => shown.includes(row))) : [];
  paintNothing(mixer, shown.length === 0);
  paintRails(mixer);
  if (focused && focused.isConnected) focused.focus({ preventScroll: true });
  layoutOverview(mixer);
}

function stageNodes(mixer, shown) {
  const nodes = [];
  for (const stage of mixer.stages) {
    const members = stage.rows.filter((row) => shown.has(row)).map((row) => row.element);
    if (!members.length) continue;
    if (!stage.bunch) { nodes.push(...members); continue; }
    stage.content.replaceChildren(...members);
    nodes.push(stage.element);
  }
  return nodes;
}

function paintNothing(mixer, empty) {
  const box = mixer.find('.nothing');
  box.hidden = !empty;
  if (!empty) return;
  const wanted = mixer.search.trim();
  const words = { pruned: 'No layer is pruned.', locked: 'No layer is locked.', above: 'No layer is above tolerance.' };
  box.querySelector('span').textContent = wanted ? `No layer named “${wanted}”.` : words[mixer.filter] || 'No layers.';
}

// ---- stages ----

function createStages(mixer) {
  if (mixer.rows.length < MANY_ROWS) return [];
  const stages = stagesOf(mixer.rows);
  for (const stage of stages) {
    if (!stage.name) continue;
    const caret = `<button class="caret" type="button" tabindex="-1" aria-expanded="true" aria-label="Show the layers of ${escapeHtml(stage.name)}"></button>`;
    stage.bunch = createBunch({ name: stage.name, title: stage.name, className: 'stage-head',
      extra: { before: caret, share: '<span class="t params"><i></i><b></b></span><span class="n params"></span>' } });
    stage.bunch.members = stage.rows;
    stage.bunch.stage = stage;
    stage.element = document.createElement('div');
    stage.element.className = 'stage';
    stage.element.setAttribute('role', 'rowgroup');
    stage.content = document.createElement('div');
    stage.element.append(stage.bunch.element, stage.content);
    for (const row of stage.rows) row.stage = stage;
  }
  return stages;
}

function setCollapsed(mixer, stage, collapsed) {
  stage.collapsed = collapsed;
  stage.content.hidden = collapsed;
  stage.bunch.element.querySelector('.caret').setAttribute('aria-expanded', !collapsed);
  arrange(mixer);
}

function paintStage(stage, view) {
  const above = stage.rows.filter((row) => row.level === 'above' && row.sparsity > 0).length;
  const count = above ? `<span class="warn">${icon(ICONS.warning, 11)}${above} above</span>` : '<span class="e">all within</span>';
  paintBunch(stage.bunch, count, `${stage.rows.length} layers`);
  const share = stage.rows.reduce((sum, row) => sum + (row.data.share_params || 0), 0);
  patch(stage.bunch, 'share', `${share} ${view.compact}`, () => {
    stage.bunch.element.style.setProperty('--params', `${100 * share}%`);
    stage.bunch.parts.params.textContent = shareText(share, 0);
  });
}

// ---- overview: one bar a row, its length is the sparsity; a triangle is above tolerance ----
// Three paths for all rows: when 300 rows move together, three attributes change instead of 300 elements.

const BAR_LEFT = 4;
const BAR_LENGTH = 17;

function createOverview(mixer) {
  const strip = mixer.find('.overview');
  strip.hidden = mixer.rows.length < MANY_ROWS;
  if (strip.hidden) return;
  const jump = (event) => {
    const box = strip.getBoundingClientRect();
    const part = (event.clientY - box.top) / box.height;
    mixer.scroller.scrollTop = part * mixer.scroller.scrollHeight - mixer.scroller.clientHeight / 2;
  };
  strip.addEventListener('pointerdown', (event) => { strip.setPointerCapture(event.pointerId); jump(event); });
  strip.addEventListener('pointermove', (event) => { if (event.buttons) jump(event); });
  mixer.scroller.addEventListener('scroll', () => mixer.schedule('view'), { passive: true });
  mixer.resizes = new ResizeObserver(() => layoutOverview(mixer));
  mixer.resizes.observe(mixer.scroller);
}

// Where each row's bar stands; read once for each arrangement or size.
function layoutOverview(mixer) {
  const strip = mixer.find('.overview');
  if (strip.hidden || !mixer.scroller.clientHeight) return;
  const top = mixer.scroller.getBoundingClientRect().top - mixer.scroller.scrollTop;
  const scale = mixer.scroller.clientHeight / mixer.scroller.scrollHeight;
  for (const row of mixer.rows) row.barTop = null;
  for (const row of mixer.shown) row.barTop = coordinate((row.element.getBoundingClientRect().top - top) * scale);
  mixer.barHeight = coordinate(clamp(0.6 * scale * (mixer.view.compact ? 28 : 48), 1, 4));
  paintOverview(mixer);
  paintView(mixer);
}

function paintOverview(mixer) {
  if (mixer.barHeight == null) return;
  const height = mixer.barHeight;
  const bar = (y, length) => `M${BAR_LEFT} ${y}h${coordinate(length)}v${height}h${coordinate(-length)}z`;
  let tracks = '', within = '', above = '';
  for (const row of mixer.shown) {
    tracks += bar(row.barTop, BAR_LENGTH);
    if (!row.data.prunable || row.sparsity === 0) continue;
    const length = BAR_LENGTH * row.sparsity;
    if (row.level === 'above') above += `${bar(row.barTop, length)}M0 ${row.barTop - 1}l4 3-4 3z`;
    else within += bar(row.barTop, length);
  }
  const paths = { tracks, within, above };
  for (const [name, path] of Object.entries(paths)) {
    patch(mixer, `bars-${name}`, path, () => mixer.find(`.bars .${name}`).setAttribute('d', path));
  }
}

function paintView(mixer) {
  if (mixer.barHeight == null) return;
  const { scroller } = mixer;
  const frame = mixer.find('.overview .frame');
  frame.style.top = `${100 * scroller.scrollTop / scroller.scrollHeight}%`;
  frame.style.height = `${100 * scroller.clientHeight / scroller.scrollHeight}%`;
}

// Rows out of sight need no paint while a drag moves them; they get it when it ends or when they come into sight.
function watchSight(mixer) {
  const seen = (entries) => {
    for (const { target, isIntersecting } of entries) {
      const row = mixer.itemByElement.get(target);
      row.inSight = isIntersecting;
      if (isIntersecting && row.stale) mixer.schedule(row);
    }
  };
  mixer.sight = new IntersectionObserver(seen, { root: mixer.scroller, rootMargin: '100px' });
  for (const row of mixer.rows) mixer.sight.observe(row.element);
}

// Rows: their markup, made once, and `paint...` functions that patch only what changed.
// A "bunch" (All layers, a stage) is a row of sliders too, but moves its members.

const tip = (text) => ` data-tip="${escapeHtml(text)}"`;

function optionsHtml(options, value) {
  const known = options.some((option) => option.value === value);
  const all = known || value == null ? options : [{ value, label: value }, ...options];
  return all.map((option) => `<option value="${escapeHtml(option.value)}"${option.disabled ? ' disabled' : ''}>`
    + `${escapeHtml(option.label)}${option.disabled ? ` · ${escapeHtml(option.disabled)}` : ''}</option>`).join('');
}

// `--v`, the position, is set on .marks and .share only: as an inherited value it would restyle a whole row each frame.
const sliderHtml = (label) => '<div class="marks"><span class="bar-to"></span><span class="past"></span><span class="tick"></span>'
  + '<span class="fill"></span><span class="stem"></span><span class="dot"></span><input class="range" type="range" min="0" max="100" step="0.01" value="0" tabindex="-1" '
  + `aria-label="Sparsity of ${label}"><span class="thumb"></span><span class="progress"><i></i></span></div>`;
const percentHtml = (label) => '<div class="pct" role="gridcell"><input type="text" inputmode="decimal" tabindex="-1" '
  + `autocomplete="off" spellcheck="false" aria-label="Sparsity of ${label} in percent"></div>`;
const selectHtml = (what, label) => `<div class="${what}" role="gridcell"><select class="sl" tabindex="-1" `
  + `aria-label="${what === 'gran' ? 'Granularity' : 'Criterion'} of ${label}"></select></div>`;
const shareHtml = () => '<div class="share" role="gridcell"><span class="t params"><i></i><b></b></span><span class="n params"></span>'
  + '<span class="t macs"><i></i><b></b></span><span class="n macs"></span></div>';

const HEADER_HTML = `<div class="hd" role="row"><span role="columnheader" class="rail"${tip('Rows with one letter lose the same channels.')}>Group</span>`
  + '<span role="columnheader">Layer</span>'
  + `<span role="columnheader" class="h-share"${tip('Share of the model. Blue is the part pruned.')}>Params<span class="h-macs">, MACs</span></span>`
  + `<span role="columnheader" class="axis"${tip('Largest sparsity within tolerance at the tick; dots past it.')}><span>0</span><span>Drop alone, over sparsity</span><span>100 %</span></span>`
  + '<span role="columnheader" class="num">Sparsity</span>'
  + `<span role="columnheader" class="num"${tip('Change of accuracy when only this layer is pruned, 95 % interval.')}>Drop, pt</span>`
  + '<span role="columnheader" class="gran">Granularity</span><span role="columnheader" class="crit">Criterion</span>'
  + '<span role="columnheader"><span class="sr">Lock</span></span></div>';

function rowHtml(data) {
  const name = escapeHtml(data.name);
  const label = `<div class="rail" role="gridcell"></div><div class="who" role="rowheader"><span class="nm"${tip(data.name)}><bdi>${name}</bdi></span><span class="kd">${escapeHtml(data.kind || '')}</span></div>`;
  if (!data.prunable) {
    return `${label}${shareHtml()}<div class="why" role="gridcell">${icon(ICONS.blocked, 14)}`
      + `<span><b>Cannot be pruned.</b> ${escapeHtml(data.why_not || '')}</span></div>`;
  }
  return `${label}${shareHtml()}<div class="cv" role="gridcell"><div class="chart"></div>${sliderHtml(name)}</div>`
    + `${percentHtml(name)}<div class="al" role="gridcell"></div>${selectHtml('gran', name)}${selectHtml('crit', name)}`
    + '<div class="lk-cell" role="gridcell"><button class="lk" type="button" tabindex="-1" aria-pressed="false"></button></div>';
}

const PARTS = { rail: '.rail', slider: '.range', field: '.pct input', curve: '.cv', marks: '.marks', share: '.share', chart: '.chart', drop: '.al', granularity: '.gran .sl',
  criterion: '.crit .sl', lock: '.lk', progress: '.progress i', params: '.n.params', macs: '.n.macs' };

function partsOf(element) {
  return Object.fromEntries(Object.entries(PARTS).map(([key, selector]) => [key, element.querySelector(selector)]));
}

function createRow(data) {
  const element = document.createElement('div');
  element.className = data.prunable ? 'rw' : 'rw fixed';
  element.setAttribute('role', 'row');
  element.dataset.layer = data.name;
  element.innerHTML = rowHtml(data);
  const row = { name: data.name, data, element, parts: partsOf(element), cache: {}, moving: false, marked: false, seq: 0 };
  takeValues(row);
  return row;
}

function takeValues(row) {
  const { sparsity, granularity, criterion, locked } = row.data;
  Object.assign(row, { sparsity, granularity, criterion, locked });
}

// Run `write` only when the value differs from what the row shows already.
function patch(row, key, value, write) {
  if (row.cache[key] === value) return;
  row.cache[key] = value;
  write(value);
}

function patchSelect(row, select, key, options, value, disabled) {
  const listing = options.map((option) => `${option.value}|${option.label}|${option.disabled || ''}`).join('\n');
  const known = options.some((option) => option.value === value);
  patch(row, `${key}-options`, known ? listing : `${listing}\n${value}`, () => { select.innerHTML = optionsHtml(options, value); });
  if (select.value !== value) select.value = value ?? '';
  if (select.disabled !== disabled) select.disabled = disabled;
}

const shareText = (fraction, digits) => {
  const value = 100 * fraction;
  if (digits) return `${value.toFixed(digits)} %`;
  return `${value > 0 && value < 1 ? '<1' : value.toFixed(0)} %`;
};
function paintShares(row, view) {
  const { share_params: params = 0, share_macs: macs = 0 } = row.data;
  patch(row, 'shares', `${params} ${macs} ${view.fullShare} ${view.compact}`, () => {
    const width = (fraction) => `${Math.max(fraction > 0 ? 2 : 0, Math.min(100, 100 * fraction / view.fullShare))}%`;
    row.element.style.setProperty('--params', width(params));
    row.element.style.setProperty('--macs', width(macs));
    row.parts.params.textContent = shareText(params, view.compact ? 1 : 0);
    row.parts.macs.textContent = shareText(macs, 0);
  });
}

// Figures of a drop; `text` comes from Python and may hold anything.
function dropHtml(drop, preview) {
  const small = (text) => `<span class="e alone">${text}</span>`;
  if (drop.state === 'dense') return small('dense');
  if (drop.state === 'failed') return small('failed');
  if (drop.state === 'none' || drop.value == null) return small(escapeHtml(drop.text || 'not measured'));
  const mark = { above: icon(ICONS.warning, 11), undecided: `<b${tip('Too near the tolerance to say on which side.')}>?</b> ` }[drop.level] || '';
  let half = drop.half == null ? '' : `± ${Number(drop.half).toFixed(1)}`;
  if (drop.state === 'measuring') half = `<span class="spin"></span>n ${thousands(drop.n || 0)}`;
  else if (preview && drop.n && drop.state !== 'est') half += `, n ${thousands(drop.n)}`;
  else if (drop.state === 'est') half += ' est.';
  const about = drop.n && drop.state !== 'measuring' ? tip(`n ${thousands(drop.n)}, 95 % interval; the change is paired.`) : '';
  return `<span class="d${drop.level === 'within' ? '' : ' warn'}">${mark}${signed(drop.value)}</span> <span class="e"${about}>${half.trim()}</span>`;
}

function spokenValue(row, drop) {
  const spoken = `${percent(row.sparsity)} percent`;
  if (drop.state === 'dense') return `${spoken}, dense`;
  if (drop.value == null) return `${spoken}, ${drop.state === 'failed' ? 'measurement failed' : drop.text || 'not measured'}`;
  const size = signed(drop.value).replace(MINUS, 'minus ').replace('+', 'plus ');
  const level = { above: ', above tolerance', undecided: ', perhaps above tolerance' }[drop.level] || '';
  return `${spoken}, drop alone ${size} points${level}${row.locked ? ', locked' : ''}`;
}

function paintCurve(row, tolerance) {
  if (!row.data.prunable) return;
  const { curve, drop } = row.data;
  const message = noCurveHtml(row, drop);
  if (row.drawn && row.drawn.tolerance === tolerance && row.drawn.message === message && sameCurve(row.drawn.curve, curve)) return;
  row.drawn = { curve, tolerance, message };
  const usable = curve && drop.state !== 'failed';
  const limit = usable ? largestWithin(curve, tolerance) : 1;
  row.parts.chart.innerHTML = usable ? curveSvg(curve, tolerance) : message;
  row.parts.curve.classList.toggle('free', limit > 0.99);
  row.parts.curve.classList.toggle('bare', !usable);
  row.parts.curve.style.setProperty('--safe', coordinate(100 * limit));
}

function noCurveHtml(row, drop) {
  const button = (text) => `<button type="button" class="link" tabindex="-1" data-measure>${escapeHtml(text)}</button>`;
  if (drop.state === 'failed') {
    return `<div class="skel"><span class="warn">${icon(ICONS.warning, 12)}${escapeHtml(drop.text || 'The measurement failed.')}</span>${button(drop.retry || 'Retry')}</div>`;
  }
  if (row.data.curve || row.data.measurable === false) return '';
  return `<div class="skel"><span>No curve yet.</span>${button('Measure this layer')}</div>`;
}

function markerHeight(row, drop, view) {
  if (!row.data.curve || drop.value == null) return null;
  return coordinate(clamp(curveY(drop.value, view.tolerance), 0, CURVE_HEIGHT));
}

// Everything of a row that follows its values; called for each frame of a drag, for the moved rows only.
function paintRow(row, view) {
  const { element, parts, data } = row;
  paintShares(row, view);
  const state = [row.name === view.selected && 'sel', row.marked && 'marked', row.kin && 'kin'].filter(Boolean);
  patch(row, 'aria-selected', row.name === view.selected || row.marked, (on) => element.setAttribute('aria-selected', on));
  if (!data.prunable) {
    patch(row, 'classes', state.join(' '), () => { element.className = `rw fixed ${state.join(' ')}`; });
    return;
  }
  const drop = shownDrop(row, view.tolerance);
  row.level = drop.level;
  const dense = row.sparsity === 0;
  if (row.locked) state.push('locked');
  if (dense) state.push('dense');
  if (row.moving) state.push('drag');
  if (drop.state === 'measuring') state.push('measuring');
  if (!dense && drop.level === 'above') state.push('over');
  if (!dense && drop.level === 'undecided') state.push('maybe');
  const height = dense ? null : markerHeight(row, drop, view);
  if (height != null) state.push('marker');
  patch(row, 'classes', state.join(' '), (text) => { element.className = `rw ${text}`; });
  patch(row, 'height', height, () => parts.marks.style.setProperty('--y', height ?? 0));
  paintSparsity(row, spokenValue(row, drop));
  patch(row, 'drop', dropHtml(drop, data.curve?.preview), (html) => { parts.drop.innerHTML = html; });
  const part = drop.state === 'measuring' && drop.total ? coordinate(100 * drop.n / drop.total) : 0;
  patch(row, 'progress', part, () => { parts.progress.style.width = `${part}%`; });
  patchSelect(row, parts.granularity, 'granularity', data.granularities || view.granularities, row.granularity, row.locked);
  patchSelect(row, parts.criterion, 'criterion', data.criteria || view.criteria, row.criterion, row.locked);
  patch(row, 'locked', row.locked, () => paintLock(row));
}

function setPosition({ parts }, position) {
  parts.marks.style.setProperty('--v', position);
  parts.share.style.setProperty('--v', position);
}

function paintSparsity(row, spoken) {
  const { parts, sparsity } = row;
  const position = coordinate(100 * sparsity);
  patch(row, 'position', position, () => setPosition(row, position));
  if (Number(parts.slider.value) !== position) parts.slider.value = position;
  patch(row, 'spoken', spoken, () => parts.slider.setAttribute('aria-valuetext', spoken));
  const editing = row.editing;
  if (!editing) patch(row, 'percent', percentText(sparsity), (text) => { parts.field.value = text; });
}

function paintLock(row) {
  const { lock, slider, field } = row.parts;
  const verb = row.locked ? 'Unlock' : 'Lock';
  lock.innerHTML = icon(row.locked ? ICONS.lock : ICONS.open, 14);
  lock.setAttribute('aria-pressed', row.locked);
  lock.setAttribute('aria-label', `${verb} ${row.name}`);
  lock.dataset.tip = `${verb} (L)`;
  slider.setAttribute('aria-disabled', row.locked);
  field.disabled = row.locked;
}

// ---- bunches ----

function createBunch({ name, title, className, extra }) {
  const element = document.createElement('div');
  element.className = `rw bunch ${className}`;
  element.setAttribute('role', 'row');
  const label = escapeHtml(title);
  element.innerHTML = `<div class="rail"></div><div class="who" role="rowheader">${extra.before || ''}<span class="nm">${label}</span><span class="kd"></span></div>`
    + `<div class="share" role="gridcell">${extra.share}</div><div class="cv free bare" role="gridcell">${sliderHtml(label)}</div>`
    + `${percentHtml(label)}<div class="al" role="gridcell"></div>`
    + (extra.selects ? selectHtml('gran', label) + selectHtml('crit', label) : '<span class="gran"></span><span class="crit"></span>') + '<span></span>';
  const parts = { ...partsOf(element), kind: element.querySelector('.kd') };
  return { isBunch: true, name, title, element, parts, cache: {}, members: [], sparsity: 0 };
}

function paintBunch(bunch, dropMarkup, caption) {
  const moving = bunch.members.filter(movable);
  bunch.sparsity = weightedSparsity(bunch.members);
  bunch.locked = moving.length === 0;
  const classes = [bunch.sparsity === 0 && 'dense', bunch.locked && 'locked', bunch.moving && 'drag'].filter(Boolean).join(' ');
  patch(bunch, 'classes', classes, () => {
    for (const state of ['dense', 'locked', 'drag']) bunch.element.classList.toggle(state, classes.split(' ').includes(state));
  });
  // A bunch's mean is shown in whole percent, but the thumb stands where the mean is.
  const text = `${Math.round(100 * bunch.sparsity)} %`;
  const position = coordinate(100 * bunch.sparsity);
  patch(bunch, 'position', position, () => setPosition(bunch, position));
  if (!bunch.moving && Number(bunch.parts.slider.value) !== position) bunch.parts.slider.value = position;
  patch(bunch, 'spoken', text, () => bunch.parts.slider.setAttribute('aria-valuetext', `${Math.round(100 * bunch.sparsity)} percent`));
  patch(bunch, 'disabled', bunch.locked, () => {
    bunch.parts.slider.setAttribute('aria-disabled', bunch.locked);
    bunch.parts.field.disabled = bunch.locked;
  });
  if (!bunch.editing) patch(bunch, 'percent', text, () => { bunch.parts.field.value = text; });
  patch(bunch, 'drop', dropMarkup, () => { bunch.parts.drop.innerHTML = dropMarkup; });
  patch(bunch, 'kind', caption, () => { bunch.parts.kind.textContent = caption; });
}

// One select for many rows: shows the common value or "mixed (3)".
function paintSharedSelect(bunch, select, key, options) {
  const members = bunch.members.filter((row) => row.data.prunable);
  const values = new Set(members.map((row) => row[key]));
  const mixed = values.size !== 1;
  const label = mixed ? [{ value: '', label: `mixed (${values.size})` }] : [];
  patchSelect(bunch, select, key, [...label, ...options], mixed ? '' : [...values][0], bunch.locked);
}

// Sensitivity sweep: one row a layer, one column a sparsity, a stepped line where the tolerance is first crossed.
const HEAD = 30;
const MANY = 24;                   // rows above which the table gets compact and scrolls under its header
const LIMIT_WIDTH = 128;
const SHAPES = ['circle', 'square', 'triangle', 'diamond', 'cross'];
const FULL_DROP = 40;              // points at which the colour scale ends
const NS = 'http://www.w3.org/2000/svg';
const sweeps = new WeakMap();

const SKELETON = `<div class="scroll"><div class="header"><svg class="head"></svg></div>
<svg class="body" role="grid"></svg></div><div class="legend"></div><p class="empty" hidden></p>`;

function build(parentElement) {
  const root = document.createElement('div');
  root.className = 'sweep';
  root.innerHTML = SKELETON;
  parentElement.appendChild(root);
  const sweep = { root, find: (selector) => root.querySelector(selector), tip: makeTip(root), active: { row: 0, col: 0 }, chosen: [] };
  listen(sweep);
  sweep.observer = new ResizeObserver(() => { if (sweep.data) draw(sweep); });
  sweep.observer.observe(root);
  return sweep;
}

export default function sweepHeatmap({ data, parentElement, setTriggerValue }) {
  const sweep = sweeps.get(parentElement) || build(parentElement);
  sweeps.set(parentElement, sweep);
  sweep.send = setTriggerValue;
  const before = sweep.data;
  if (!before || before.signature !== data.signature) sweep.active = { row: 0, col: 0 };
  // A choice made here is kept until Python itself changes it.
  if (!before || String(before.chosen) !== String(data.chosen)) sweep.chosen = [...data.chosen];
  sweep.data = data;
  draw(sweep);
  return () => sweep.observer.disconnect();
}

function draw(sweep) {
  const { data, root } = sweep, width = root.clientWidth, any = data.rows.length > 0;
  sweep.find('.empty').hidden = any;
  sweep.find('.empty').textContent = 'No curves yet.';
  sweep.find('.scroll').hidden = sweep.find('.legend').hidden = !any;
  if (!width || !any) return;
  sweep.place = layout(data, width);
  sweep.colours = coloursOf(sweep);
  const key = JSON.stringify([data.signature, sweep.place, data.levels, data.rows.map((row) => row.name), sweep.colours.dark]);
  if (sweep.key !== key) { sweep.key = key; rebuild(sweep); }
  patch(sweep);
}

function layout(data, width) {
  const compact = data.rows.length > MANY, longest = Math.max(...data.rows.map((row) => row.name.length));
  const limits = width < 520 ? 64 : LIMIT_WIDTH;
  const names = Math.round(clamp(7.3 * longest + 40, 74, Math.max(96, Math.min(240, 0.24 * width))));
  const free = width - names - 14 - limits - (compact ? 16 : 0);
  const cell = clamp(Math.floor(free / data.levels.length), 18, 64), height = compact ? 22 : 47;
  const limit = names + data.levels.length * cell + 14;
  return { compact, names, cell, height, limit, limits, width: limit + limits, total: data.rows.length * height };
}

function coloursOf({ root, data }) {
  const dark = isDark(root);
  return { dark, stops: data.scale[dark ? 'dark' : 'light'], background: hexToRgb(themeValue(root, '--st-background-color')),
    kinds: themeList(root, '--st-chart-categorical-colors') };
}

// ---- frame: built when rows, levels or sizes change

const element = (tag, attributes = {}, parent = null) => {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (parent) parent.appendChild(made);
  return made;
};

const unitOf = (data) => (data.metric_label.includes(',') ? data.metric_label.split(',').pop().trim() : '');
const dropName = (data) => data.metric_label.split(',')[0];

function rebuild(sweep) {
  const { data, place } = sweep, body = sweep.find('.body');
  sweep.find('.scroll').classList.toggle('tall', place.compact);
  drawHead(sweep);
  size(body, place.width, place.total + 3, `${-10} 0 ${place.width + 10} ${place.total + 3}`);
  body.setAttribute('aria-label', `${dropName(data)} for each layer and sparsity`);
  body.setAttribute('aria-colcount', data.levels.length + 1);
  body.setAttribute('aria-rowcount', data.rows.length);
  body.replaceChildren();
  sweep.rows = data.rows.map((row, r) => buildRow(sweep, body, row, r));
  sweep.line = [element('path', { class: 'tolerance', stroke: 'var(--bg)', 'stroke-width': 5 }, body),
    element('path', { class: 'tolerance', stroke: 'var(--text)', 'stroke-width': 2 }, body)];
  sweep.active = { row: clamp(sweep.active.row, 0, data.rows.length - 1), col: clamp(sweep.active.col, -1, data.levels.length - 1) };
  moveStop(sweep, false);
}

// The picture starts 10 px left of the names, so that their background has a margin.
function size(svg, width, height, viewBox) {
  svg.setAttribute('width', width + 10);
  svg.setAttribute('height', height);
  svg.setAttribute('viewBox', viewBox);
  svg.style.marginLeft = '-10px';
}

function drawHead(sweep) {
  const { data, place } = sweep, head = sweep.find('.head'), unit = unitOf(data);
  size(head, place.width, HEAD, `-10 0 ${place.width + 10} ${HEAD}`);
  const largest = place.limits < 100 ? 'Largest' : `Largest within ${data.tolerance.toFixed(1)}${unit ? ` ${unit}` : ''}`;
  const every = place.cell < 34 ? 2 : 1;                     // labels stay apart on narrow columns
  head.innerHTML = '<text x="0" y="20">Layer</text>' + data.levels.map((level, c) => (c % every ? '' : `<text text-anchor="middle" `
    + `x="${place.names + (c + 0.5) * place.cell}" y="20">${percent(level)}${place.cell < 34 ? '' : ' %'}</text>`)).join('')
    + `<text x="${place.limit}" y="20">${escapeHtml(largest)}</text>`;
}

function buildRow(sweep, body, row, r) {
  const { place, data } = sweep, group = element('g', { role: 'row', 'aria-rowindex': r + 1, transform: `translate(0 ${r * place.height})` }, body);
  const name = element('g', { role: 'rowheader', class: 'name', tabindex: -1, 'data-row': r, 'data-col': -1 }, group);
  const cells = data.levels.map((_, c) => element('g', { role: 'gridcell', class: 'cell', tabindex: -1, 'data-row': r, 'data-col': c,
    transform: `translate(${place.names + c * place.cell} 0)` }, group));
  return { name, cells, limit: element('g', { class: 'limit', role: 'gridcell' }, group), seen: {} };
}

// ---- contents: only what differs from the last picture is touched

function patch(sweep) {
  const { data } = sweep;
  data.rows.forEach((row, r) => {
    const drawn = sweep.rows[r], near = nearest(data.levels, data.plan ? data.plan[row.name] : undefined);
    put(drawn, 'name', drawn.name, nameContent(sweep, row));
    row.cells.forEach((cell, c) => put(drawn, c, drawn.cells[c], cellContent(sweep, row, cell, c === near)));
    put(drawn, 'limit', drawn.limit, limitContent(sweep, row));
  });
  const path = tolerancePath(sweep);
  for (const line of sweep.line) line.setAttribute('d', path);
  drawLegend(sweep);
}

function put(drawn, key, group, { html, className, label }) {
  const seen = `${className}\n${label}\n${html}`;
  if (drawn.seen[key] === seen) return;
  drawn.seen[key] = seen;
  group.setAttribute('class', className);
  group.setAttribute('aria-label', label);
  group.innerHTML = html;
}

function nearest(levels, sparsity) {
  if (!(sparsity > 0)) return -1;
  return levels.reduce((best, level, i) => (Math.abs(level - sparsity) < Math.abs(levels[best] - sparsity) ? i : best), 0);
}

function markerOf(sweep, name) {
  const order = sweep.chosen.indexOf(name);
  if (order < 0) return { html: (y) => `<circle cx="4" cy="${y}" r="3.5" fill="none" stroke="var(--dense)"/>`, said: '' };
  const shape = SHAPES[order], colour = shape ? sweep.colours.kinds[order] : 'var(--dense)';
  return { html: (y) => markerShape(shape || 'circle', y, colour), said: shape ? `, curve shown as ${shape}` : ', curve shown in grey' };
}

function markerShape(shape, y, colour) {
  const paths = { square: `M0 ${y - 4}h8v8h-8z`, triangle: `M4 ${y - 5}l5 9h-10z`, diamond: `M4 ${y - 5.5}l5 5.5-5 5.5-5-5.5z` };
  if (shape === 'circle') return `<circle cx="4" cy="${y}" r="4" fill="${colour}"/>`;
  if (shape === 'cross') return `<path d="M0.5 ${y - 3.5}l7 7M7.500 ${y - 3.5}l-7 7" stroke="${colour}" stroke-width="2.2"/>`;
  return `<path d="${paths[shape]}" fill="${colour}"/>`;
}

function nameContent(sweep, row) {
  const { place } = sweep, marker = markerOf(sweep, row.name), fits = Math.floor((place.names - 32) / 7.3), middle = place.height / 2;
  const text = row.name.length > fits ? `…${row.name.slice(1 - fits)}` : row.name;   // the end of a path tells layers apart
  const box = `x="-10" y="0" width="${place.names}" height="${place.height - 1}" rx="4"`;
  return { className: sweep.chosen.includes(row.name) ? 'name chosen' : 'name', label: `${row.name}${marker.said}`,
    html: `<rect class="back" ${box}/>${marker.html(middle - 0.5)}<text x="14" y="${middle + 3.5}">${escapeHtml(text)}</text>`
      + `<rect class="focus-mark" x="-9" y="1" width="${place.names - 2}" height="${place.height - 3}" rx="4"/>` };
}

const figure = (value) => signed(value, Math.abs(value) < 9.95 ? 1 : 0);
const isMeasured = (cell) => cell.value !== null && cell.value !== undefined;

function colourOf({ colours }, cell) {
  const full = ramp(colours.stops, Math.sqrt(clamp(-cell.value / FULL_DROP, 0, 1)));
  return cell.state === 'done' ? full : full.map((part, i) => Math.round(0.45 * part + 0.55 * colours.background[i]));
}

function cellContent(sweep, row, cell, planned) {
  const { place } = sweep, width = place.cell, { height } = place, known = isMeasured(cell);
  const colour = known ? colourOf(sweep, cell) : null, ink = known ? inkOn(colour) : 'var(--muted)';
  let html = `<rect width="${width - 1}" height="${height - 1}" fill="${known ? `rgb(${colour})` : 'var(--sunk)'}"/>`;
  if (cell.state === 'preview') html += `<path class="fold" d="M${width - 9} 0h8v8z"/>`;
  if (cell.state === 'running') html += `<rect class="running-mark" x="1.5" y="1.5" width="${width - 4}" height="${height - 4}"/>`;
  if (planned) html += ring(place, ink);
  const text = known ? figure(cell.value) : cell.state === 'not_possible' ? '–' : '';
  if (text && (width >= 40 || !known)) html += `<text x="${(width - 1) / 2}" y="${height / 2 + 4}" style="fill:${ink}">${text}</text>`;
  html += `<rect class="focus-mark" x="1" y="1" width="${width - 3}" height="${height - 3}"/>`;
  return { html, className: `cell ${cell.state}`, label: wordsOf(sweep, row, cell, planned).join(', ') };
}

const ring = (place, ink) => (place.compact ? `<circle class="ring" cx="${place.cell < 40 ? place.cell / 2 : 6}" cy="${place.height / 2 - 0.5}" r="3" stroke="${ink}"/>`
  : `<circle class="ring" cx="${place.cell / 2}" cy="${place.height - 9}" r="3.2" stroke="${ink}"/>`);

// Two lines: what the cell is, and how sure its figure is.
function wordsOf({ data }, row, cell, planned) {
  const where = `${row.name} at ${percent(cell.level)} %`, unit = unitOf(data), mine = planned ? '; nearest to the present plan' : '';
  if (cell.state === 'not_possible') return [where, cell.text || 'not possible'];
  if (!isMeasured(cell)) return [where, (cell.state === 'running' ? 'measuring' : 'not measured') + mine];
  const half = cell.half === null || cell.half === undefined ? '' : ` ± ${cell.half.toFixed(1)}`;
  const count = cell.n ? `, n ${thousands(cell.n)}${cell.total && cell.total !== cell.n ? ` of ${thousands(cell.total)}` : ''}` : '';
  const state = { preview: ', preview', running: ', measuring' }[cell.state] || '';
  return [`${where}: ${signed(cell.value, Math.abs(cell.value) < 9.95 ? 2 : 1)}${half}${unit ? ` ${unit}` : ''}`,
    `${(count + state).replace(/^, /, '')}${mine}${cell.text ? `; ${cell.text}` : ''}`];
}

function limitContent(sweep, row) {
  const { place } = sweep, x = place.limit, known = row.limit !== null && row.limit !== undefined;
  const share = row.share_params < 0.005 ? '<1' : Math.round(100 * row.share_params);
  const text = known ? `${row.limit_preview ? '~' : ''}${Math.round(100 * row.limit)} %` : '–', wide = place.limits >= 100;
  const style = row.limit_preview ? 'fill="none" stroke="var(--accent-text)" stroke-dasharray="2 2"' : 'fill="var(--accent)"';
  const y = place.compact ? place.height / 2 - 3.5 : 12;
  const bar = wide ? `<rect x="${x}" y="${y}" width="72" height="6" fill="var(--sunk)"/>`
    + (known ? `<rect x="${x}" y="${y}" width="${72 * row.limit}" height="6" ${style}/>` : '') : '';
  const under = place.compact ? '' : `<text x="${x}" y="${wide ? 32 : 34}" style="font-size:10.5px">${escapeHtml(share)} %${wide ? ' of params' : ''}</text>`;
  return { className: 'limit', label: `${row.name}: largest within tolerance ${known ? text : 'not known'}, ${share} percent of parameters`,
    html: `${bar}<text class="figure" x="${x + (wide ? 80 : 0)}" y="${y + 7.5}">${text}</text>${under}` };
}

// ---- the line of tolerance

const firstAbove = (row, tolerance) => {
  const k = row.cells.findIndex((cell) => isMeasured(cell) && cell.value < -tolerance);
  return k < 0 ? row.cells.length : k;
};

// Broken at rows without any figure: there it would say something that nobody measured.
function tolerancePath({ data, place }) {
  let path = '', open = false;
  data.rows.forEach((row, r) => {
    if (!row.cells.some(isMeasured)) { open = false; return; }
    const x = place.names + firstAbove(row, data.tolerance) * place.cell - 0.5, y = r * place.height - 0.5;
    path += `${open ? 'L' : 'M'}${x} ${y}L${x} ${y + place.height}`;
    open = true;
  });
  return path;
}

// ---- legend

function drawLegend(sweep) {
  const { data, colours } = sweep, sizes = data.rows.flatMap((row) => row.cells).filter((c) => c.state === 'preview' && c.n).map((c) => c.n);
  const count = sizes.length ? Math.min(...sizes) : 64;
  const ticks = [0, 1, 5, 10, 20, 40].map((v) => `<text text-anchor="middle" x="${clamp(179 * Math.sqrt(v / FULL_DROP), 3, 170)}" y="23">${v ? MINUS + v : 0}</text>`);
  const html = `<svg width="180" height="28" role="img" aria-label="Colour: drop from 0 to 40"><defs><linearGradient id="drop">`
    + `${colours.stops.map((stop, i) => `<stop offset="${i / (colours.stops.length - 1)}" stop-color="${stop}"/>`).join('')}</linearGradient></defs>`
    + `<rect x=".5" y=".5" width="179" height="9" fill="url(#drop)" stroke="var(--line)"/>${ticks.join('')}</svg>`
    + '<span><svg width="14" height="14"><path d="M4 0v7h6v7" fill="none" stroke="var(--text)" stroke-width="2"/></svg>tolerance</span>'
    + `<span><svg width="15" height="14"><rect width="15" height="14" fill="var(--sunk)"/><path d="M7 0h8v8z" fill="var(--dense)"/></svg><i>preview, ${thousands(count)} examples</i></span>`
    + '<span><svg width="16" height="14"><rect x="1" y="1" width="14" height="12" fill="none" stroke="var(--accent-text)" stroke-width="2" stroke-dasharray="4 3"/></svg>measuring now</span>'
    + '<span><svg width="10" height="14"><circle cx="5" cy="7" r="3.2" fill="none" stroke="var(--text)" stroke-width="1.6"/></svg>present plan</span>'
    + '<span class="how">Click a cell to set that layer; Enter does the same.</span>';
  if (sweep.legend !== html) { sweep.legend = html; sweep.find('.legend').innerHTML = html; }
}

// ---- pointer and keys

const groupAt = (event) => event.target.closest('.cell, .name');
const placeOfGroup = (group) => ({ row: Number(group.dataset.row), col: Number(group.dataset.col) });

function listen(sweep) {
  const body = sweep.find('.body');
  body.addEventListener('click', (event) => {
    const group = groupAt(event);
    if (!group) return;
    sweep.active = placeOfGroup(group);
    moveStop(sweep, false);
    act(sweep);
  });
  body.addEventListener('keydown', (event) => gridKey(sweep, event));
  body.addEventListener('pointermove', (event) => {
    const group = groupAt(event);
    if (group) sweep.tip.show(tipWords(sweep, placeOfGroup(group)), event.clientX, event.clientY); else sweep.tip.hide();
  });
  body.addEventListener('pointerleave', () => sweep.tip.hide());
  body.addEventListener('focusin', (event) => {
    const group = groupAt(event);
    if (!group || !group.matches(':focus-visible')) return;
    const box = group.getBoundingClientRect();
    sweep.tip.show(tipWords(sweep, placeOfGroup(group)), box.left + box.width / 2, box.bottom - 8);
  });
  body.addEventListener('focusout', () => sweep.tip.hide());
  sweep.find('.scroll').addEventListener('scroll', () => sweep.tip.hide());
}

function tipWords(sweep, { row, col }) {
  const { data } = sweep, layer = data.rows[row];
  if (col < 0) return [layer.name, `${sweep.chosen.includes(layer.name) ? 'Hide' : 'Show'} its curve (Space)`];
  return wordsOf(sweep, layer, layer.cells[col], col === nearest(data.levels, data.plan ? data.plan[layer.name] : undefined));
}

const groupOf = (sweep, { row, col }) => (col < 0 ? sweep.rows[row].name : sweep.rows[row].cells[col]);

function moveStop(sweep, focus) {
  for (const group of sweep.find('.body').querySelectorAll('[tabindex="0"]')) group.setAttribute('tabindex', -1);
  const group = groupOf(sweep, sweep.active);
  group.setAttribute('tabindex', 0);
  if (focus) { group.focus(); reveal(sweep); }
}

// Keeps the active row clear of the sticky header.
function reveal(sweep) {
  const box = sweep.find('.scroll'), { height } = sweep.place, top = sweep.active.row * height;
  if (top < box.scrollTop) box.scrollTop = top;
  if (top + height + HEAD > box.scrollTop + box.clientHeight) box.scrollTop = top + height + HEAD - box.clientHeight;
}

function gridKey(sweep, event) {
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], PageUp: [-10, 0], PageDown: [10, 0] };
  const { active, data } = sweep, step = steps[event.key];
  if (step) move(sweep, active.row + step[0], active.col + step[1]);
  else if (event.key === 'Home') move(sweep, event.ctrlKey ? 0 : active.row, 0);
  else if (event.key === 'End') move(sweep, event.ctrlKey ? data.rows.length - 1 : active.row, data.levels.length - 1);
  else if (event.key === 'Enter') act(sweep);
  else if (event.key === ' ') toggle(sweep, data.rows[active.row].name);
  else return;
  event.preventDefault();
}

function move(sweep, row, col) {
  const { data } = sweep;
  sweep.active = { row: clamp(row, 0, data.rows.length - 1), col: clamp(col, -1, data.levels.length - 1) };
  moveStop(sweep, true);
}

function act(sweep) {
  const { active, data } = sweep, row = data.rows[active.row];
  if (active.col < 0) { toggle(sweep, row.name); return; }
  const cell = row.cells[active.col];
  if (cell.state !== 'not_possible') sweep.send('set', { layer: row.name, level: cell.level });
}

function toggle(sweep, name) {
  sweep.chosen = sweep.chosen.includes(name) ? sweep.chosen.filter((other) => other !== name) : [...sweep.chosen, name];
  patch(sweep);
  sweep.send('curves', { chosen: [...sweep.chosen] });
}

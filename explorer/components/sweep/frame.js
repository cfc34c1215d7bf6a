// The frame of the heatmap: sizes, header, rows and cells; built when rows, levels or sizes change.
const HEAD = 30;
const MANY = 24;                   // rows above which the table gets compact and scrolls under its header
const LIMIT_WIDTH = 128;
const NS = 'http://www.w3.org/2000/svg';

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

const element = (tag, attributes = {}, parent = null) => {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (parent) parent.appendChild(made);
  return made;
};

const unitOf = (data) => data.metric.unit;

function rebuild(sweep) {
  const { data, place } = sweep, body = sweep.find('.body');
  sweep.find('.scroll').classList.toggle('tall', place.compact);
  drawHead(sweep);
  size(body, place.width, place.total + 3, `${-10} 0 ${place.width + 10} ${place.total + 3}`);
  body.setAttribute('aria-label', `${data.metric.label} for each layer and sparsity`);
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
  const { data, place } = sweep, head = sweep.find('.head');
  size(head, place.width, HEAD, `-10 0 ${place.width + 10} ${HEAD}`);
  const largest = place.limits < 100 ? 'Largest' : `Largest within ${data.tolerance.toFixed(1)} pt`;
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

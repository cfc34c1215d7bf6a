// Contents of rows and cells; only what differs from the last picture is touched.
const SHAPES = ['circle', 'square', 'triangle', 'diamond', 'cross'];
// How bad a value is, 0 to 1: its distance from the dense model's, as a share of that at which the colours end.
const harmOf = ({ metric }, value) => clamp((metric.higher_is_better ? metric.dense - value : value - metric.dense) / metric.large, 0, 1);

function patch(sweep) {
  const { data } = sweep;
  data.rows.forEach((row, r) => {
    const drawn = sweep.rows[r], near = nearest(data.levels, data.plan ? data.plan[row.name] : undefined);
    put(drawn, 'name', drawn.name, nameContent(sweep, row));
    row.cells.forEach((cell, c) => put(drawn, c, drawn.cells[c], row.why_not ? whyContent(sweep, row, c) : cellContent(sweep, row, cell, c === near)));
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
  const others = row.others || [], more = others.length && !place.compact;
  const counted = `and ${others.length} coupled layer${others.length > 1 ? 's' : ''}`;
  const and = others.length > 1 || others[0]?.length > fits - 2 ? counted : `and ${others[0]}`;
  const under = more ? `<text class="others" x="14" y="${middle + 15}">${escapeHtml(and)}</text>` : '';
  const title = others.length ? `<title>${escapeHtml([row.name, ...others].join(', '))}</title>` : '';
  return { className: sweep.chosen.includes(row.name) ? 'name chosen' : 'name', label: `${row.name}${others.length ? `, with ${others.join(', ')}` : ''}${marker.said}`,
    html: `${title}<rect class="back" ${box}/>${marker.html(middle - 0.5)}<text x="14" y="${middle + (more ? -1 : 3.5)}">${escapeHtml(text)}</text>${under}`
      + `<rect class="focus-mark" x="-9" y="1" width="${place.names - 2}" height="${place.height - 3}" rx="4"/>` };
}

// Points have a sign and one digit; other units two figures.
const figure = (data, value) => (unitOf(data) === 'pt' ? signed(value, Math.abs(value) < 9.95 ? 1 : 0) : short(value));
const short = (value) => (Math.abs(value) < 0.0005 ? '0' : String(Number(value.toPrecision(2))).replace('-', MINUS));
const isMeasured = (cell) => isKnown(cell.value);

function colourOf({ colours, data }, cell) {
  const full = ramp(colours.stops, Math.sqrt(harmOf(data, cell.value)));
  return cell.state === 'done' || cell.state === 'bracketed' ? full : full.map((part, i) => Math.round(0.45 * part + 0.55 * colours.background[i]));
}

// A row of which nothing can go says why across its cells.
function whyContent({ place, data }, row, column) {
  const width = place.cell * data.levels.length - 8;
  const text = column === 0 ? `<foreignObject x="0" y="0" width="${width}" height="${place.height - 1}"><div class="why" title="${escapeHtml(row.why_not)}">`
    + `<span>${escapeHtml(row.why_not)}</span></div></foreignObject>` : '';
  const mark = `<rect class="focus-mark" x="1" y="1" width="${place.cell - 3}" height="${place.height - 3}"/>`;
  return { html: text + mark, className: 'cell not_possible', label: `${row.name}: ${row.why_not}` };
}

function cellContent(sweep, row, cell, planned) {
  const { place } = sweep, width = place.cell, { height } = place, known = isMeasured(cell);
  const colour = known ? colourOf(sweep, cell) : null, ink = known ? inkOn(colour) : 'var(--muted)';
  let html = `<rect width="${width - 1}" height="${height - 1}" fill="${known ? `rgb(${colour})` : 'var(--sunk)'}"/>`;
  if (cell.state === 'preview') html += `<path class="fold" d="M${width - 9} 0h8v8z"/>`;
  if (cell.state === 'running') html += `<rect class="running-mark" x="1.5" y="1.5" width="${width - 4}" height="${height - 4}"/>`;
  if (planned) html += ring(place, ink);
  const text = known ? figure(sweep.data, cell.value) : cell.state === 'not_possible' ? '–' : '', room = !place.compact && width >= 40;
  if (text && (width >= 40 || !known)) html += `<text x="${(width - 1) / 2}" y="${height / 2 + (room && known ? -1 : 4)}" style="fill:${ink}">${text}</text>`;
  if (known && room && isKnown(cell.half)) html += `<text class="half" x="${(width - 1) / 2}" y="${height / 2 + 13}" style="fill:${ink}">±${halfText(sweep.data, cell.half)}</text>`;
  if (cell.state === 'bracketed') html += `<path class="bracket" d="M5 ${height / 2 - 8}h-2v14h2M${width - 6} ${height / 2 - 8}h2v14h-2" style="stroke:${ink}"/>`;
  html += `<rect class="focus-mark" x="1" y="1" width="${width - 3}" height="${height - 3}"/>`;
  return { html, className: `cell ${cell.state}`, label: wordsOf(sweep, row, cell, planned).join(', ') };
}

const isKnown = (value) => value !== null && value !== undefined;
const halfText = (data, half) => (unitOf(data) === 'pt' ? half.toFixed(half < 9.95 ? 1 : 0) : short(half));
const ring = (place, ink) => (place.compact ? `<circle class="ring" cx="${place.cell < 40 ? place.cell / 2 : 6}" cy="${place.height / 2 - 0.5}" r="3" stroke="${ink}"/>`
  : `<circle class="ring" cx="${place.cell / 2}" cy="6.5" r="3.2" stroke="${ink}"/>`);

// Two lines: what the cell is, and how sure its figure is.
function wordsOf({ data }, row, cell, planned) {
  const where = `${row.name} at ${percent(cell.level)} %`, unit = unitOf(data), mine = planned ? '; nearest to the present plan' : '';
  if (cell.state === 'not_possible') return [where, cell.text || 'not possible'];
  if (!isMeasured(cell)) return [where, (cell.state === 'running' ? 'measuring' : 'not measured') + mine];
  const half = isKnown(cell.half) ? ` ± ${unit === 'pt' ? cell.half.toFixed(1) : short(cell.half)}` : '';
  const count = cell.n ? `, n ${thousands(cell.n)}${cell.total && cell.total !== cell.n ? ` of ${thousands(cell.total)}` : ''}` : '';
  const state = { preview: ', preview', running: ', measuring', bracketed: '; between two settled levels' }[cell.state] || '';
  const value = unit === 'pt' ? signed(cell.value, Math.abs(cell.value) < 9.95 ? 2 : 1) : short(cell.value);
  return [`${where}: ${value}${half}${unit ? ` ${unit}` : ''}`,
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

// Weights of one layer: heatmap with its mask, the chosen kernel, histogram with the threshold.
const MAX_ZOOM = 40;
const STROKE_FROM = 5;            // px of a cell from which pruned cells get their diagonal
const SLACK = 4;                  // px a pointer may move and still be a click
const KEY_PAUSE = 150;            // ms of quiet after arrow keys before the cell is sent
const COMMIT_PAUSE = 400;         // ms of quiet after slider keys before one commit
const HIST = { height: 180, top: 22, bars: 132 };
const OPTIONS = ['view', 'sorted', 'show_mask'];
const panels = new WeakMap();

const SKELETON = `<div class="tools">
  <div class="seg" role="group" aria-label="View"><button type="button" data-view="folded"
    title="One cell is a whole kernel">Folded</button><button type="button" data-view="kernels"
    title="One cell is one weight">Kernels</button></div><span class="gap"></span>
  <label class="check"><input type="checkbox" data-option="sorted">Sort</label>
  <label class="check"><input type="checkbox" data-option="show_mask">Mask <kbd>M</kbd></label></div>
<div class="map" tabindex="0" role="application" aria-roledescription="heatmap"><canvas></canvas><span class="cursor" hidden></span></div>
<div class="axis"><span class="first">largest</span><span class="axes"></span><span class="last">smallest</span></div>
<p class="note aggregated" hidden></p>
<div class="detail"><div class="kernel"></div><div class="words"><div class="title"></div><div class="legend"></div></div></div>
<div class="head"><h2>Weights by size</h2><span class="threshold"></span></div>
<svg class="hist" role="group" aria-label="Histogram of weights">
  <defs><clipPath id="inside"><rect y="0" height="${HIST.height}"/></clipPath>
    <clipPath id="outside"><rect y="0" height="${HIST.height}"/><rect y="0" height="${HIST.height}"/></clipPath></defs>
  <g class="bars"></g><g class="scales"></g><g class="labels"></g>
  <g class="handle left" aria-hidden="true"></g>
  <g class="handle right" role="slider" tabindex="0" aria-label="Threshold of the layer, as sparsity" aria-valuemin="0" aria-valuemax="99"></g>
</svg>
<p class="note hint"></p><span class="sr said" aria-live="polite"></span>`;

function parse(data) {
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const size = head.rows * head.cols, start = 4 + length;
  return { tile: [1, 1], row_name: 'input', col_name: 'output', ...head,
    magnitudes: bytes.subarray(start, start + size), kept: bytes.subarray(start + size, start + 2 * size) };
}

function build(parentElement) {
  const root = document.createElement('div');
  root.className = 'weights';
  root.innerHTML = SKELETON;
  parentElement.appendChild(root);
  const find = (selector) => root.querySelector(selector);
  const panel = { root, find, map: null, view: { zoom: 1, x: 0, y: 0 }, chosen: null, options: {}, drag: null,
    bitmap: document.createElement('canvas'), tip: makeTip(root), send: {} };
  panel.sendDrag = throttle((sparsity) => panel.send.state('drag', { sparsity }), 50);
  listenToTools(panel);
  listenToMap(panel);
  listenToHistogram(panel);
  panel.observer = new ResizeObserver(() => { if (panel.map) layOut(panel); });
  panel.observer.observe(root);
  return panel;
}

export default function weights({ data, parentElement, setStateValue, setTriggerValue }) {
  const known = panels.get(parentElement);
  const panel = known || build(parentElement);
  panels.set(parentElement, panel);
  panel.send = { state: setStateValue, trigger: setTriggerValue };
  receive(panel, parse(data));
  return () => { panel.observer.disconnect(); panel.sendDrag.cancel(); };
}

function receive(panel, map) {
  const before = panel.map;
  const pushed = !before || before.push !== map.push || before.layer !== map.layer;
  // What Python changed is taken over; what the user just changed here is not undone by older data.
  for (const name of OPTIONS) if (pushed || before[name] !== map[name]) panel.options[name] = map[name];
  if (!before || before.layer !== map.layer) { panel.view = { zoom: 1, x: 0, y: 0 }; panel.chosen = null; }
  if (pushed && panel.drag) stopDrag(panel);
  panel.map = map;
  panel.chosen = placeOf(map, map.kernel) || replaced(before, map, panel.chosen);
  if (!panel.drag) panel.sparsity = map.sparsity;
  layOut(panel);
}

function layOut(panel) {
  const width = panel.root.clientWidth;
  if (!width) return;
  showTools(panel);
  sizeMap(panel, width);
  fillBitmap(panel);
  drawMap(panel);
  showCaptions(panel);
  showKernel(panel);
  showLegend(panel);
  if (!panel.drag) drawHistogram(panel, width);
}

// ---- toggles

function showTools(panel) {
  const views = panel.map.views || ['folded', 'kernels'];
  panel.find('.seg').hidden = views.length < 2;
  for (const button of panel.root.querySelectorAll('[data-view]')) {
    button.hidden = !views.includes(button.dataset.view);
    button.setAttribute('aria-pressed', button.dataset.view === panel.options.view);
  }
  for (const box of panel.root.querySelectorAll('[data-option]')) box.checked = panel.options[box.dataset.option];
}

function change(panel, options) {
  Object.assign(panel.options, options);
  showTools(panel);
  fillBitmap(panel);
  drawMap(panel);
  panel.send.state('options', { ...panel.options });
}

function listenToTools(panel) {
  panel.find('.tools').addEventListener('click', (event) => {
    const button = event.target.closest('[data-view]');
    if (button && button.dataset.view !== panel.options.view) change(panel, { view: button.dataset.view });
  });
  panel.find('.tools').addEventListener('change', (event) => change(panel, { [event.target.dataset.option]: event.target.checked }));
  panel.root.addEventListener('keydown', (event) => {
    if (event.key.toLowerCase() !== 'm' || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    change(panel, { show_mask: !panel.options.show_mask });
  });
}

// ---- heatmap

// The map takes the whole width; a tall layer gets flatter cells instead of a page of its own.
function sizeMap(panel, width) {
  const { rows, cols } = panel.map, inner = width - 2;
  const square = inner / cols;
  const height = clamp(rows * Math.min(square, 24), Math.min(rows * 24, 72), Math.max(180, Math.min(420, 0.9 * inner)));
  panel.size = { width: inner, height, cell: [inner / cols, height / rows] };
  const ratio = window.devicePixelRatio || 1, canvas = panel.find('canvas');
  panel.find('.map').style.height = `${height + 2}px`;
  canvas.width = Math.round(inner * ratio);
  canvas.height = Math.round(height * ratio);
}

// One pixel a cell: colour of the size, paler the more of the cell is pruned, background when all is.
function fillBitmap(panel) {
  const { rows, cols, magnitudes, kept } = panel.map, { bitmap } = panel;
  bitmap.width = cols;
  bitmap.height = rows;
  const stops = themeList(panel.root, '--st-chart-sequential-colors');
  const table = Array.from({ length: 256 }, (_, v) => ramp(stops, v / 255));
  const background = hexToRgb(themeValue(panel.root, '--st-background-color'));
  const image = new ImageData(cols, rows), pixels = image.data;
  for (let cell = 0; cell < rows * cols; cell += 1) {
    const colour = table[magnitudes[cell]], share = panel.options.show_mask ? kept[cell] / 255 : 1;
    const weight = share === 0 ? 0 : 0.3 + 0.7 * share;
    for (let part = 0; part < 3; part += 1) {
      pixels[4 * cell + part] = Math.round(background[part] + weight * (colour[part] - background[part]));
    }
    pixels[4 * cell + 3] = 255;
  }
  bitmap.getContext('2d').putImageData(image, 0, 0);
}

const cellSize = ({ size, view }) => size.cell.map((length) => length * view.zoom);

function drawMap(panel) {
  const { size, view, map } = panel, canvas = panel.find('canvas'), context = canvas.getContext('2d');
  const ratio = canvas.width / size.width, [width, height] = cellSize(panel);
  view.x = clamp(view.x, size.width - map.cols * width, 0);
  view.y = clamp(view.y, size.height - map.rows * height, 0);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, size.width, size.height);
  // Averaging only where cells are smaller than pixels; else every cell keeps its exact colour.
  context.imageSmoothingEnabled = Math.min(width, height) * ratio < 1;
  context.imageSmoothingQuality = 'high';
  context.drawImage(panel.bitmap, view.x, view.y, map.cols * width, map.rows * height);
  if (panel.options.show_mask && Math.min(width, height) >= STROKE_FROM) strokePruned(panel, context);
  if (map.tile[0] * map.tile[1] > 1 && Math.min(width, height) >= 3) strokeTiles(panel, context);
  panel.find('.map').classList.toggle('zoomed', view.zoom > 1);
  showCursor(panel);
}

function visibleCells({ size, view, map }, [width, height]) {
  const end = (length, cell, offset, count) => Math.min(count, Math.ceil((length - offset) / cell));
  return { top: Math.floor(-view.y / height), left: Math.floor(-view.x / width),
    bottom: end(size.height, height, view.y, map.rows), right: end(size.width, width, view.x, map.cols) };
}

function strokePruned(panel, context) {
  const { view, map } = panel, [width, height] = cellSize(panel), range = visibleCells(panel, [width, height]);
  context.strokeStyle = themeValue(panel.root, '--st-gray-color');
  context.globalAlpha = 0.55;
  context.beginPath();
  for (let row = range.top; row < range.bottom; row += 1) for (let col = range.left; col < range.right; col += 1) {
    if (map.kept[row * map.cols + col]) continue;
    const x = view.x + col * width, y = view.y + row * height;
    context.moveTo(x + 0.2 * width, y + 0.8 * height);
    context.lineTo(x + 0.8 * width, y + 0.2 * height);
  }
  context.stroke();
  context.globalAlpha = 1;
}

function strokeTiles(panel, context) {
  const { view, map, size } = panel, [width, height] = cellSize(panel), [tall, wide] = map.tile;
  context.strokeStyle = themeValue(panel.root, '--st-background-color');
  context.beginPath();
  for (let row = tall; row < map.rows; row += tall) { context.moveTo(0, view.y + row * height); context.lineTo(size.width, view.y + row * height); }
  for (let col = wide; col < map.cols; col += wide) { context.moveTo(view.x + col * width, 0); context.lineTo(view.x + col * width, size.height); }
  context.stroke();
}

function showCursor(panel) {
  const box = panel.find('.cursor'), { chosen, view } = panel, [width, height] = cellSize(panel);
  box.hidden = !chosen;
  if (!chosen) return;
  Object.assign(box.style, { left: `${view.x + chosen.col * width}px`, top: `${view.y + chosen.row * height}px`,
    width: `${Math.max(3, width)}px`, height: `${Math.max(3, height)}px` });
}

function zoomAt(panel, factor, x, y) {
  const { view } = panel, zoom = clamp(view.zoom * factor, 1, MAX_ZOOM), change = zoom / view.zoom;
  view.x = x - (x - view.x) * change;
  view.y = y - (y - view.y) * change;
  view.zoom = zoom;
  drawMap(panel);
}

// ---- cells by place and by original number

const idAt = (ids, tile, index) => { const k = Math.floor(index / tile); return ids && k in ids ? ids[k] : k; };
const capital = (word) => word[0].toUpperCase() + word.slice(1);

function idsOf(map, cell) {
  return { row: idAt(map.row_ids, map.tile[0], cell.row), col: idAt(map.col_ids, map.tile[1], cell.col) };
}

function placeOf(map, ids) {
  if (!ids || ids.row === undefined || ids.col === undefined) return null;
  const row = map.row_ids ? map.row_ids.indexOf(ids.row) : ids.row, col = map.col_ids ? map.col_ids.indexOf(ids.col) : ids.col;
  return row < 0 || col < 0 ? null : { row: row * map.tile[0] + (ids.y || 0), col: col * map.tile[1] + (ids.x || 0) };
}

// After sorting the same weight stays chosen, at its new place.
const replaced = (before, map, cell) => (before && cell && before.layer === map.layer ? placeOf(map, idsOf(before, cell)) : null);

function nameOf(map, cell) {
  const { row, col } = idsOf(map, cell), [tall, wide] = map.tile;
  const inside = tall * wide > 1 ? `, row ${cell.row % tall}, column ${cell.col % wide}` : '';
  return `${map.aggregated ? 'From ' : ''}${map.aggregated ? map.col_name : capital(map.col_name)} ${col}, ${map.row_name} ${row}${inside}`;
}

function keptText(map, share) {
  if (map.cell_size > 1) return `${Math.round(share * map.cell_size)} of ${map.cell_size} kept`;
  if (share === 0 || share === 1) return share ? 'kept' : 'pruned';
  return `${percent(share)} % kept`;
}

function describe(map, cell) {
  const at = cell.row * map.cols + cell.col;
  const size = Number((map.magnitudes[at] / 255 * map.vmax).toPrecision(2));
  return [nameOf(map, cell), `${map.cell_label} ${size}, ${keptText(map, map.kept[at] / 255)}`];
}

function cellAt(panel, event) {
  const area = panel.find('canvas').getBoundingClientRect(), [width, height] = cellSize(panel);
  const row = Math.floor((event.clientY - area.top - panel.view.y) / height);
  const col = Math.floor((event.clientX - area.left - panel.view.x) / width);
  return row >= 0 && col >= 0 && row < panel.map.rows && col < panel.map.cols ? { row, col } : null;
}

function choose(panel, cell, pause) {
  panel.chosen = cell;
  const { view, size } = panel, [width, height] = cellSize(panel);
  view.x = clamp(view.x, -cell.col * width, size.width - (cell.col + 1) * width);
  view.y = clamp(view.y, -cell.row * height, size.height - (cell.row + 1) * height);
  drawMap(panel);
  panel.find('.said').textContent = describe(panel.map, cell).join(', ');
  clearTimeout(panel.cellTimer);
  panel.cellTimer = setTimeout(() => panel.send.trigger('cell', idsOf(panel.map, cell)), pause);
}

function listenToMap(panel) {
  const box = panel.find('.map');
  let press = null;
  const place = (event) => { const area = box.getBoundingClientRect(); return [event.clientX - area.left, event.clientY - area.top]; };
  box.addEventListener('wheel', (event) => {
    if (panel.view.zoom === 1 && event.deltaY > 0) return;      // nothing to zoom out of: let the page scroll
    event.preventDefault();
    zoomAt(panel, Math.exp(-event.deltaY * 0.002), ...place(event));
  }, { passive: false });
  box.addEventListener('pointerdown', (event) => {
    press = { x: event.clientX, y: event.clientY, from: { ...panel.view }, moved: false };
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener('pointermove', (event) => {
    if (press) pan(panel, press, event); else hover(panel, event);
  });
  box.addEventListener('pointerup', (event) => {
    const cell = press && !press.moved && cellAt(panel, event);
    press = null;
    box.classList.remove('panning');
    if (cell) choose(panel, cell, 0);
  });
  box.addEventListener('pointercancel', () => { press = null; });
  box.addEventListener('pointerleave', () => panel.tip.hide());
  box.addEventListener('dblclick', () => { panel.view = { zoom: 1, x: 0, y: 0 }; drawMap(panel); });
  box.addEventListener('keydown', (event) => mapKey(panel, event));
}

function pan(panel, press, event) {
  const dx = event.clientX - press.x, dy = event.clientY - press.y;
  press.moved = press.moved || Math.hypot(dx, dy) > SLACK;
  if (!press.moved) return;
  panel.tip.hide();
  panel.find('.map').classList.add('panning');
  panel.view.x = press.from.x + dx;
  panel.view.y = press.from.y + dy;
  drawMap(panel);
}

function hover(panel, event) {
  const cell = cellAt(panel, event);
  if (cell) panel.tip.show(describe(panel.map, cell), event.clientX, event.clientY); else panel.tip.hide();
}

function mapKey(panel, event) {
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }, step = steps[event.key];
  const { map, size } = panel, now = panel.chosen || { row: 0, col: 0 };
  if (step) {
    const next = { row: clamp(now.row + step[0], 0, map.rows - 1), col: clamp(now.col + step[1], 0, map.cols - 1) };
    choose(panel, panel.chosen ? next : now, KEY_PAUSE);
  } else if (event.key === 'Enter') choose(panel, now, 0);
  else if (event.key === '+' || event.key === '=') zoomAt(panel, 1.5, size.width / 2, size.height / 2);
  else if (event.key === '-') zoomAt(panel, 1 / 1.5, size.width / 2, size.height / 2);
  else if (event.key === '0') zoomAt(panel, 1 / MAX_ZOOM, 0, 0);
  else return;
  event.preventDefault();
}

// ---- words, kernel, legend

function showCaptions(panel) {
  const { map } = panel;
  for (const name of ['.first', '.last']) panel.find(name).style.visibility = map.sorted ? 'visible' : 'hidden';
  panel.find('.axes').textContent = `${map.col_axis}, ${map.row_axis}${map.sorted ? ', sorted by norm' : ''}`;
  panel.find('.map').setAttribute('aria-label', `Weights of ${map.layer}: ${map.row_axis}, ${map.col_axis}; `
    + `${percent(map.sparsity)} % of weights pruned. Arrow keys choose a cell, plus and minus zoom.`);
  const small = Math.min(...panel.size.cell) * (window.devicePixelRatio || 1) < 1;
  const words = [map.aggregated, small ? 'Cells are smaller than pixels here: zoom in to see each one.' : ''].filter(Boolean);
  panel.find('.aggregated').textContent = words.join(' ');
  panel.find('.aggregated').hidden = !words.length;
}

function kernelText(value, largest) {
  if (largest < 0.1) return signed(1000 * value, 0);          // thousandths, said beside it
  return signed(value, largest < 10 ? 2 : 0).replace('0.', '.');
}

function showKernel(panel) {
  const { kernel, vmax } = panel.map, box = panel.find('.kernel'), title = panel.find('.title');
  box.hidden = !kernel;
  if (!kernel) { title.innerHTML = '<span>Choose a cell to see its weights.</span>'; box.innerHTML = ''; return; }
  const [tall, wide] = kernel.shape.length > 1 ? kernel.shape : [1, kernel.shape[0]];
  const side = clamp(Math.floor(140 / Math.max(tall, wide)), 8, 28), largest = Math.max(...kernel.values.map(Math.abs));
  const stops = themeList(panel.root, '--st-chart-sequential-colors');
  const cells = kernel.values.map((value, i) => kernelCell(value, kernel.kept[i], (i % wide) * side, Math.floor(i / wide) * side,
    side, ramp(stops, Math.abs(value) / vmax), kernelText(value, largest)));
  box.innerHTML = `<svg width="${wide * side + 1}" height="${tall * side + 1}" role="img" aria-label="${escapeHtml(
    `${kernel.title}: ${kernel.values.map((v) => Number(v.toPrecision(3))).join(', ')}; ${kernel.detail}`)}">${cells.join('')}</svg>`;
  const unit = largest < 0.1 && side >= 22 ? ', ×\u00a00.001' : '';
  title.innerHTML = `<b>${escapeHtml(kernel.title)}</b> <span>${escapeHtml(kernel.detail + unit)}</span>`;
}

function kernelCell(value, kept, x, y, side, colour, text) {
  const fill = kept ? `rgb(${colour})` : 'var(--bg)', ink = kept ? inkOn(colour) : 'var(--muted)';
  return `<g><title>${signed(value, 4)} ${kept ? 'kept' : 'pruned'}</title>`
    + `<rect x="${x + 0.5}" y="${y + 0.5}" width="${side - 1}" height="${side - 1}" fill="${fill}" stroke="var(--line)"/>`
    + (kept ? '' : `<path d="M${x + 3} ${y + side - 3}L${x + side - 3} ${y + 3}" stroke="var(--dense)" opacity=".6"/>`)
    + (side < 22 ? '' : `<text x="${x + side / 2}" y="${y + side / 2 + 3.5}" text-anchor="middle" style="font-size:10px;fill:${ink}">${text}</text>`)
    + '</g>';
}

function showLegend(panel) {
  const { map } = panel, stops = themeList(panel.root, '--st-chart-sequential-colors');
  const whole = map.cell_size > 1 ? `all ${map.cell_size} pruned` : map.aggregated ? 'all pruned' : 'pruned';
  const partly = map.cell_size > 1 || map.aggregated
    ? `<span class="sample"><svg width="13" height="13"><rect x=".5" y=".5" width="12" height="12" fill="${stops[6]}" opacity=".5" stroke="var(--line)"/></svg>partly pruned</span>` : '';
  panel.find('.legend').innerHTML = `<div class="scale"><i style="background:linear-gradient(90deg, ${stops.join(', ')})"></i>`
    + `<div><span>0</span><span>${escapeHtml(map.cell_label)}</span><span>${Number(map.vmax.toPrecision(2)).toString().padEnd(4, '0')}</span></div></div>`
    + `<div class="swatches"><span class="sample"><svg width="13" height="13"><rect x=".5" y=".5" width="12" height="12" fill="var(--bg)" stroke="var(--line)"/>`
    + `<path d="M2.5 10.5L10.5 2.5" stroke="var(--dense)"/></svg>${whole}</span>${partly}</div>`;
}

// ---- histogram

const hasLines = (panel) => panel.map.histogram.threshold !== null;
const histX = (panel, value) => { const { low, high } = panel.map.histogram; return panel.histWidth * (value - low) / (high - low); };

function drawHistogram(panel, width) {
  panel.histWidth = width;
  const { histogram: hist } = panel.map, lines = hasLines(panel), svg = panel.find('.hist');
  svg.classList.toggle('draggable', lines && panel.map.draggable);
  const bars = barPaths(hist, width, lines);
  panel.find('.bars').innerHTML = lines
    ? `<path class="kept" clip-path="url(#outside)" d="${bars.whole}"/><path class="pruned" clip-path="url(#inside)" d="${bars.whole}"/>`
    : `<path class="kept" d="${bars.kept}"/><path class="pruned" d="${bars.pruned}"/>`;
  panel.find('.scales').innerHTML = `<line x1="0" x2="${width}" y1="${HIST.top + HIST.bars + 0.5}" y2="${HIST.top + HIST.bars + 0.5}" stroke="var(--line)"/>`
    + ticks(hist.low, hist.high, width).map((v) => `<text x="${histX(panel, v)}" y="${HIST.top + HIST.bars + 15}" text-anchor="middle">${tickText(v)}</text>`).join('')
    + `<text x="${width}" y="9" text-anchor="end" style="font-size:10px">square-root scale</text>`;
  for (const handle of svg.querySelectorAll('.handle')) {
    handle.style.display = lines ? '' : 'none';
    handle.innerHTML = `<line class="line" y1="18" y2="${HIST.top + HIST.bars}"/><path class="cap" d="M-5 14h10l-5 6z"/><rect class="hit" x="-12" y="0" width="24" height="${HIST.top + HIST.bars}"/>`;
  }
  panel.find('.handle.right').setAttribute('tabindex', panel.map.draggable ? '0' : '-1');
  panel.find('.hint').textContent = hint(panel);
  placeLines(panel, hist.threshold);
}

// Without lines each bar is split by share: its height is on a root scale, so two stacked counts would lie.
function barPaths(hist, width, lines) {
  const most = Math.max(1, ...hist.counts), step = width / hist.counts.length, floor = HIST.top + HIST.bars;
  const bar = (i, from, to) => (to - from < 0.05 ? '' : `M${i * step + 0.4} ${floor - from}h${Math.max(0.5, step - 0.8)}V${floor - to}h${-Math.max(0.5, step - 0.8)}z`);
  const paths = { whole: '', kept: '', pruned: '' };
  hist.counts.forEach((count, i) => {
    const height = HIST.bars * Math.sqrt(count / most), grey = count ? height * hist.pruned[i] / count : 0;
    if (lines) paths.whole += bar(i, 0, height);
    else { paths.pruned += bar(i, 0, grey); paths.kept += bar(i, grey, height); }
  });
  return paths;
}

function ticks(low, high, width) {
  const rough = (high - low) / clamp(width / 48, 3, 9), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const first = Math.ceil(low / step + 0.15), last = Math.floor(high / step - 0.15);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(6)));
}
const tickText = (value) => (value === 0 ? '0' : (value < 0 ? MINUS : '+') + Math.abs(value));

function hint({ map }) {
  if (map.histogram.threshold === null) {
    return map.sparsity ? `Pruned by ${map.criterion_label}, not by size: the grey part of each bar is pruned.` : 'Nothing is pruned.';
  }
  return map.draggable ? 'Drag a threshold line to set the sparsity of this layer.' : (map.drag_note || '');
}

// Moves lines, colours and figures only: the bars do not change while dragging.
function placeLines(panel, threshold) {
  const label = panel.find('.threshold'), sparsity = panel.sparsity;
  label.innerHTML = threshold === null ? '' : `threshold <b>${threshold.toFixed(4)}</b>`;
  if (threshold === null) { panel.find('.labels').innerHTML = ''; return; }
  const width = panel.histWidth, left = clamp(histX(panel, -threshold), 0, width), right = clamp(histX(panel, threshold), 0, width);
  const [first, second] = panel.find('#outside').children, inside = panel.find('#inside').firstElementChild;
  setRect(first, 0, left);
  setRect(second, right, width);
  setRect(inside, left, right);
  panel.find('.handle.left').setAttribute('transform', `translate(${left} 0)`);
  panel.find('.handle.right').setAttribute('transform', `translate(${right} 0)`);
  panel.find('.labels').innerHTML = histogramLabels(left, right, width, sparsity);
  const slider = panel.find('.handle.right');
  slider.setAttribute('aria-valuenow', Math.round(100 * sparsity));
  slider.setAttribute('aria-valuetext', `${percent(sparsity)} percent pruned, threshold ${threshold.toFixed(4)}`);
}

function setRect(rect, from, to) {
  rect.setAttribute('x', from);
  rect.setAttribute('width', Math.max(0, to - from));
}

function histogramLabels(left, right, width, sparsity) {
  const kept = (x) => `<text class="strong blue" x="${x}" y="72" text-anchor="middle">kept</text>`;
  const middle = clamp((left + right) / 2, 36, width - 36);
  return `<text class="strong" x="${middle}" y="9" text-anchor="middle">${percent(sparsity)} % pruned</text>`
    + (left > 40 ? kept(Math.min(left / 2, left - 20)) : '') + (width - right > 40 ? kept(Math.max((right + width) / 2, right + 20)) : '');
}

// ---- threshold <-> sparsity, by the layer's own sorted sizes

function sparsityAt(quantiles, threshold) {
  const steps = quantiles.length - 1;
  let k = 0;
  while (k < steps && quantiles[k + 1] <= threshold) k += 1;
  const span = k < steps ? quantiles[k + 1] - quantiles[k] : 0;
  const inside = span > 0 ? clamp((threshold - quantiles[k]) / span, 0, 1) : 0;
  return clamp(Math.round(1000 * (k + inside) / steps) / 1000, 0, 0.99);
}

function thresholdAt(quantiles, sparsity) {
  const at = clamp(sparsity, 0, 1) * (quantiles.length - 1), k = Math.min(Math.floor(at), quantiles.length - 2);
  return quantiles[k] + (at - k) * (quantiles[k + 1] - quantiles[k]);
}

function moveTo(panel, sparsity, threshold) {
  panel.sparsity = sparsity;
  panel.drag = panel.drag || { keys: true };
  panel.drag.threshold = threshold;
  placeLines(panel, threshold);
  panel.sendDrag(sparsity);
}

function stopDrag(panel) {
  clearTimeout(panel.commitTimer);
  panel.sendDrag.cancel();
  panel.drag = null;
}

function commit(panel) {
  const { sparsity } = panel, threshold = panel.drag && panel.drag.threshold;
  stopDrag(panel);
  if (threshold !== undefined && threshold !== null) {
    panel.map.histogram.threshold = threshold;                // stays here until Python answers
    panel.send.trigger('commit', { sparsity });
  }
}

function listenToHistogram(panel) {
  const svg = panel.find('.hist');
  const value = (event) => {
    const { low, high } = panel.map.histogram, area = svg.getBoundingClientRect();
    return low + (high - low) * (event.clientX - area.left) / area.width;
  };
  svg.addEventListener('pointerdown', (event) => {
    const handle = event.target.closest('.handle');
    if (!handle || !panel.map.draggable) return;
    event.preventDefault();
    panel.find('.handle.right').focus({ focusVisible: false });
    // Where both lines lie together (a dense layer) the first movement says which one is meant.
    const together = panel.map.histogram.threshold * panel.histWidth < 12 * (panel.map.histogram.high - panel.map.histogram.low) / 2;
    panel.drag = { pointer: true, side: together ? 0 : handle.classList.contains('left') ? -1 : 1 };
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener('pointermove', (event) => {
    if (!panel.drag || !panel.drag.pointer) return;
    panel.drag.side = panel.drag.side || Math.sign(value(event));
    const threshold = clamp(panel.drag.side * value(event), 0, panel.map.histogram.high);
    moveTo(panel, sparsityAt(panel.map.histogram.abs_sorted_quantiles, threshold), threshold);
  });
  svg.addEventListener('pointerup', () => { if (panel.drag && panel.drag.pointer) commit(panel); });
  svg.addEventListener('pointercancel', () => { if (panel.drag) { stopDrag(panel); layOut(panel); } });
  svg.addEventListener('keydown', (event) => sliderKey(panel, event));
}

function sliderKey(panel, event) {
  const size = event.shiftKey ? 0.05 : 0.01, steps = { ArrowLeft: -size, ArrowDown: -size, ArrowRight: size, ArrowUp: size, Home: -1, End: 1 };
  const step = steps[event.key];
  if (!step || !panel.map.draggable || !hasLines(panel)) return;
  event.preventDefault();
  const sparsity = clamp(Math.round(1000 * (panel.sparsity + step)) / 1000, 0, 0.99);
  moveTo(panel, sparsity, thresholdAt(panel.map.histogram.abs_sorted_quantiles, sparsity));
  clearTimeout(panel.commitTimer);
  panel.commitTimer = setTimeout(() => commit(panel), COMMIT_PAUSE);
}

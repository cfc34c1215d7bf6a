// Share of zeros after each layer, by channel; below it the profile and the dead channels of the selected layer.
const PROFILE = { height: 118, top: 8, bars: 88, left: 40 };
const LISTED = 40;                 // dead channels written out before "and n more"
const charts = new WeakMap();

const SKELETON = `<div class="head"><h2>Zeros by layer and channel</h2><span class="gap"></span><span class="over"></span></div>
<div class="rows" role="listbox" tabindex="0" aria-label="Layers, with their share of zeros"><canvas aria-hidden="true"></canvas></div>
<div class="scale"><span>0</span><i></i><span>100 % zeros</span></div><p class="note merged"></p>
<div class="profile"><div class="head"><h2></h2><span class="gap"></span><div class="seg" role="group" aria-label="Order of channels">
<button type="button" data-order="channel">By channel</button><button type="button" data-order="sorted">Sorted</button></div></div>
<svg role="img"></svg><p class="note thin"></p><p class="verdict"></p></div><p class="note empty" hidden></p>`;

function build(parentElement) {
  const root = document.createElement('div');
  root.className = 'acts';
  root.innerHTML = SKELETON;
  parentElement.appendChild(root);
  const chart = { root, find: (selector) => root.querySelector(selector), tip: makeTip(root), order: 'channel', data: null };
  listen(chart);
  chart.observer = new ResizeObserver(() => { if (chart.data) draw(chart); });
  chart.observer.observe(root);
  return chart;
}

export default function activations({ data, parentElement, setTriggerValue }) {
  const chart = charts.get(parentElement) || build(parentElement);
  charts.set(parentElement, chart);
  const before = chart.data;
  if (!before || before.selected !== data.selected) chart.selected = data.selected;
  chart.data = data;
  chart.send = (layer) => setTriggerValue('select', { layer });
  draw(chart);
  return () => chart.observer.disconnect();
}

function draw(chart) {
  const { data, root } = chart, width = root.clientWidth;
  for (const part of root.querySelectorAll(':scope > *:not(.hover-tip)')) part.hidden = !data.layers.length;
  chart.find('.empty').hidden = data.layers.length > 0;
  chart.find('.empty').textContent = 'Run one pass over the calibration data to see zeros per channel.';
  if (!width || !data.layers.length) return;
  chart.find('.over').textContent = `over ${thousands(data.n)} examples`;
  drawRows(chart, width);
  drawProfile(chart, width);
}

// ---- one row a layer

const hasZeros = (layer) => layer.zeros.some((share) => share > 0);
const isSilent = (layer) => !layer.has_relu && !hasZeros(layer);

function drawRows(chart, width) {
  const { layers } = chart.data, list = chart.find('.rows'), longest = Math.max(...layers.map((l) => l.name.length));
  const name = Math.round(clamp(7.2 * longest + 16, 60, 0.36 * width)), height = layers.length > 24 ? 16 : 24;
  list.style.setProperty('--name', `${name}px`);
  list.style.setProperty('--row', `${height}px`);
  const key = JSON.stringify([width, layers.map((l) => [l.name, l.overall, l.has_relu, l.channels])]);
  if (chart.rowsKey !== key) {
    chart.rowsKey = key;
    for (const row of list.querySelectorAll('.row')) row.remove();
    const fits = Math.floor((name - 14) / 7);
    list.insertAdjacentHTML('beforeend', layers.map((layer, i) => rowHtml(layer, i, fits)).join(''));
  }
  const strip = list.clientWidth - name - 44;
  chart.strips = { left: name, width: strip, height };
  markSelected(chart);
  paintStrips(chart, strip, height);
}

// The end of a module path tells layers apart, so the beginning is cut.
const shorten = (name, fits) => (name.length > fits ? `…${name.slice(1 - fits)}` : name);

function rowHtml(layer, i, fits) {
  const words = isSilent(layer) ? '<span class="words">no zeros: no ReLU after it</span>'
    : `<span></span><span class="overall">${Math.round(100 * layer.overall)} %</span>`;
  const spoken = isSilent(layer) ? 'no zeros, no ReLU after it' : `${percent(layer.overall)} percent zeros, ${layer.dead.length} dead channels`;
  return `<div class="row" role="option" id="row-${i}" data-row="${i}" aria-label="${escapeHtml(`${layer.name}: ${spoken}`)}">`
    + `<span class="name" title="${escapeHtml(layer.name)}">${escapeHtml(shorten(layer.name, fits))}</span>${words}</div>`;
}

function markSelected(chart) {
  const list = chart.find('.rows');
  chart.data.layers.forEach((layer, i) => {
    const row = list.querySelector(`#row-${i}`), selected = layer.name === chart.selected;
    row.setAttribute('aria-selected', selected);
    if (selected) list.setAttribute('aria-activedescendant', row.id);
  });
}

// Channels share the columns evenly; where a column holds several channels it shows their mean.
function columns(shares, count) {
  if (shares.length <= count) return shares.map((share, i) => ({ share, from: i, to: i + 1 }));
  return Array.from({ length: count }, (_, c) => {
    const from = Math.floor(c * shares.length / count), to = Math.floor((c + 1) * shares.length / count);
    return { share: shares.slice(from, to).reduce((a, b) => a + b, 0) / (to - from), from, to };
  });
}

function paintStrips(chart, width, height) {
  const { layers } = chart.data, canvas = chart.find('canvas'), ratio = window.devicePixelRatio || 1;
  const stops = themeList(chart.root, '--st-chart-sequential-colors');
  Object.assign(canvas.style, { left: `${chart.strips.left}px`, width: `${width}px`, height: `${height * layers.length}px` });
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * layers.length * ratio);
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  layers.forEach((layer, row) => {
    if (isSilent(layer)) return;
    const cells = columns(layer.zeros, Math.floor(width)), step = width / cells.length;
    cells.forEach((cell, i) => {
      context.fillStyle = `rgb(${ramp(stops, cell.share)})`;
      context.fillRect(i * step, row * height + 2, step + 0.3, height - 4);
    });
  });
  const most = Math.max(...layers.map((layer) => Math.ceil(layer.zeros.length / Math.floor(width))));
  chart.find('.merged').textContent = `Each strip holds all channels of its layer, in order.${most > 1
    ? ` Where there are more channels than pixels, a column is the mean of up to ${most} channels.` : ''}`;
  chart.find('.scale i').style.background = `linear-gradient(90deg, ${stops.join(', ')})`;
}

function select(chart, name) {
  if (name === chart.selected) return;
  chart.selected = name;
  draw(chart);
  const row = chart.find('.row[aria-selected=true]');
  if (row) row.scrollIntoView({ block: 'nearest' });
  chart.send(name);
}

// ---- the selected layer

function drawProfile(chart, width) {
  const layer = chart.data.layers.find((l) => l.name === chart.selected), box = chart.find('.profile');
  box.hidden = !layer;
  if (!layer) return;
  chart.find('.profile h2').textContent = layer.name;
  for (const button of box.querySelectorAll('[data-order]')) button.setAttribute('aria-pressed', button.dataset.order === chart.order);
  const silent = isSilent(layer);
  for (const part of ['svg', '.seg', '.thin']) chart.find(`.profile ${part}`).style.display = silent ? 'none' : '';
  chart.find('.verdict').textContent = silent ? silentText(layer) : deadText(layer, chart.data.n);
  if (!silent) drawBars(chart, layer, width);
}

const silentText = (layer) => `${layer.name} has no ReLU-like function after it, so its ${thousands(layer.channels)} channels are never exactly zero.`;

function deadText(layer, n) {
  const { dead, channels } = layer;
  if (!dead.length) return `No dead channels over ${thousands(n)} examples.`;
  const rest = dead.length > LISTED ? ` and ${dead.length - LISTED} more` : '';
  return `${dead.length} dead channel${dead.length > 1 ? 's' : ''} of ${thousands(channels)}: ${dead.slice(0, LISTED).join(', ')}${rest}`;
}

function drawBars(chart, layer, width) {
  const space = width - PROFILE.left, floor = PROFILE.top + PROFILE.bars, dead = new Set(layer.dead);
  let channels = layer.zeros.map((share, id) => ({ share, id }));
  if (chart.order === 'sorted') channels.sort((a, b) => b.share - a.share);
  const cells = columns(channels.map((c) => c.share), Math.floor(space / 2)), step = space / cells.length;
  chart.bars = { cells, channels, step };
  const gap = step > 4 ? 1 : 0, line = (v) => floor - PROFILE.bars * v;
  const shape = (wanted) => cells.map((cell, i) => (isDead(cell, channels, dead) !== wanted ? ''
    : `M${PROFILE.left + i * step} ${floor}v${-PROFILE.bars * cell.share}h${step - gap}v${PROFILE.bars * cell.share}z`)).join('');
  const marks = step < 5 ? '' : cells.map((cell, i) => (isDead(cell, channels, dead) ? `M${PROFILE.left + (i + 0.5) * step - 3} ${floor + 8}h6l-3 -5z` : '')).join('');
  const svg = chart.find('svg');
  svg.setAttribute('height', PROFILE.height);
  svg.setAttribute('aria-label', `Share of zeros of the ${layer.channels} channels of ${layer.name}. ${deadText(layer, chart.data.n)}`);
  svg.innerHTML = [0, 0.5, 1].map((v) => `<line x1="${PROFILE.left}" x2="${width}" y1="${line(v)}" y2="${line(v)}" stroke="var(--line)"/>`
    + `<text x="${PROFILE.left - 6}" y="${line(v) + 4}" text-anchor="end">${100 * v}${v ? ' %' : ''}</text>`).join('')
    + `<path class="bars" d="${shape(false)}"/><path class="dead" d="${shape(true)}${marks}"/>`
    + `<text x="${PROFILE.left}" y="${floor + 20}">${chart.order === 'sorted' ? 'most zeros' : 'channel 0'}</text>`
    + `<text x="${width}" y="${floor + 20}" text-anchor="end">${chart.order === 'sorted' ? 'fewest' : layer.channels - 1}</text>`;
  const most = Math.ceil(layer.zeros.length / cells.length);
  chart.find('.thin').textContent = most > 1 ? `More channels than bars fit: a bar is the mean of up to ${most} channels.` : '';
}

// A merged bar counts as dead only when every channel in it is.
const isDead = (cell, channels, dead) => channels.slice(cell.from, cell.to).every((channel) => dead.has(channel.id));

// ---- pointer and keys

function listen(chart) {
  const list = chart.find('.rows'), svg = chart.find('svg');
  list.addEventListener('click', (event) => {
    const row = event.target.closest('.row');
    if (row) select(chart, chart.data.layers[row.dataset.row].name);
  });
  list.addEventListener('keydown', (event) => {
    const { layers } = chart.data, now = layers.findIndex((l) => l.name === chart.selected);
    const next = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: layers.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    select(chart, layers[clamp(next, 0, layers.length - 1)].name);
  });
  list.addEventListener('pointermove', (event) => hoverRow(chart, event));
  list.addEventListener('pointerleave', () => chart.tip.hide());
  svg.addEventListener('pointermove', (event) => hoverBar(chart, event));
  svg.addEventListener('pointerleave', () => chart.tip.hide());
  chart.find('.seg').addEventListener('click', (event) => {
    const button = event.target.closest('[data-order]');
    if (button) { chart.order = button.dataset.order; draw(chart); }
  });
}

function hoverRow(chart, event) {
  const row = event.target.closest('.row'), layer = row && chart.data.layers[row.dataset.row];
  if (!layer || isSilent(layer)) { chart.tip.hide(); return; }
  const at = (event.clientX - row.getBoundingClientRect().left - chart.strips.left) / chart.strips.width;
  if (at < 0 || at >= 1) { chart.tip.hide(); return; }
  const cells = columns(layer.zeros, Math.floor(chart.strips.width)), cell = cells[Math.floor(at * cells.length)];
  const which = cell.to - cell.from > 1 ? `channels ${cell.from} to ${cell.to - 1}, mean` : `channel ${cell.from}`;
  chart.tip.show([layer.name, `${which}: ${percent(cell.share)} % zeros`], event.clientX, event.clientY);
}

function hoverBar(chart, event) {
  const { cells, channels, step } = chart.bars, area = chart.find('svg').getBoundingClientRect();
  const cell = cells[Math.floor((event.clientX - area.left - PROFILE.left) / step)];
  if (!cell) { chart.tip.hide(); return; }
  const ids = channels.slice(cell.from, cell.to).map((channel) => channel.id);
  const which = ids.length > 1 ? `${ids.length} channels, mean` : `Channel ${ids[0]}`;
  chart.tip.show([which, `${percent(cell.share)} % zeros`], event.clientX, event.clientY);
}

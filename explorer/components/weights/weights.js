// Weights of one layer: heatmap with its mask, the chosen kernel, histogram with the threshold.
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
  return { tile: [runOf(head.row_ids), runOf(head.col_ids)], row_name: 'input', col_name: 'output', ...head,
    magnitudes: bytes.subarray(start, start + size), kept: bytes.subarray(start + size, start + 2 * size) };
}

function build(parentElement) {
  const root = document.createElement('div');
  root.className = 'weights';
  root.innerHTML = SKELETON;
  parentElement.appendChild(root);
  const find = (selector) => root.querySelector(selector);
  const panel = { root, find, map: null, view: { zoom: 1, x: 0, y: 0 }, chosen: null, awaited: null, options: {}, drag: null,
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
  if (pushed) panel.awaited = null;
  if (pushed && panel.drag) stopDrag(panel);
  panel.map = map;
  panel.chosen = settle(panel, before, map);
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

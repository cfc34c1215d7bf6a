// Sensitivity sweep: one row a layer, one column a sparsity, a stepped line where the tolerance is first crossed.
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

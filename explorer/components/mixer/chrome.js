// What stands around the table: toolbar, notice, legend, list of keys, tooltips.

const KEYS = [['/', 'Find a layer'], ['J K or ↓ ↑', 'Next, previous row'], ['← →', '1 % (a pattern: one step)'], ['Shift + ← →', '5 %'],
  ['Home, End', 'Dense, 99 %'], ['Digits, Enter', 'Set a sparsity'], ['Enter', 'Fields of the row, Esc goes back'], ['L', 'Lock'], ['G', 'Select the group'],
  ['Shift + ↓ ↑', 'Select more rows; they move together'], ['M', 'Mask'], ['1 to 5', 'Tabs, when no slider has focus'],
  ['Ctrl + Z', 'Undo'], ['Ctrl + Shift + Z', 'Redo'], ['?', 'This list']];

// A function, since it uses constants of files that come after this one.
const frameHtml = () => `<div class="bar">
    <label class="field find">${icon(ICONS.search, 14)}<input type="text" placeholder="Find a layer" aria-label="Find a layer" autocomplete="off" spellcheck="false"><kbd>/</kbd></label>
    <div class="seg filters" role="group" aria-label="Show">${['all', 'pruned', 'locked', 'above'].map((key) => `<button type="button" data-filter="${key}" aria-pressed="${key === 'all'}"></button>`).join('')}</div>
    <span class="space"></span>
    <label class="pair"><span>Sort</span><select class="sl sort" aria-label="Sort">${SORTS.map(([value, label]) => `<option value="${value}">${label}</option>`).join('')}</select></label>
    <div class="seg density" role="group" aria-label="Row height" hidden><button type="button" data-density="roomy">Roomy</button><button type="button" data-density="compact">Compact</button></div>
    <label class="pair"><span>Tolerance</span><input class="tolerance" type="text" inputmode="decimal" autocomplete="off" aria-label="Tolerance in points"></label>
    <button type="button" class="btn square" data-options aria-haspopup="dialog" aria-label="Options of the plan" data-tip="Options of the plan: widths, norms, heads">${icon(ICONS.options, 14)}</button>
    <button type="button" class="btn" data-fit aria-haspopup="dialog">${icon(ICONS.target, 14)}Fit to budget</button>
  </div>
  <div class="table"><div class="scroller" role="grid" aria-label="Layers" aria-multiselectable="true">${HEADER_HTML}<div class="body" role="rowgroup"></div></div>
    <div class="overview" data-tip="Bar: sparsity of each layer. Triangle: above tolerance." hidden><svg class="bars" width="25" aria-hidden="true"><path class="tracks"/><path class="within"/><path class="above"/></svg><span class="frame"></span></div></div>
  <div class="nothing" hidden><span></span><button type="button" class="link" data-all>Show all</button></div>
  <div class="note" role="status" hidden></div><div class="empty" hidden></div>
  <div class="legend"></div>
  <div class="tip drag-tip" hidden></div><div class="tip hint" role="tooltip" hidden></div>
  <div class="keys" role="dialog" aria-label="Keys" hidden><b>Keys</b><dl>${KEYS.map(([key, text]) => `<dt>${key}</dt><dd>${text}</dd>`).join('')}</dl></div>`;

function paintToolbar(mixer) {
  const prunable = mixer.rows.filter((row) => row.data.prunable);
  const counts = { all: mixer.rows.length, ...Object.fromEntries(['pruned', 'locked', 'above'].map((key) => [key, prunable.filter(FILTERS[key]).length])) };
  const words = { all: 'All', pruned: 'Pruned', locked: 'Locked', above: 'Above tolerance' };
  for (const button of mixer.buttons.filters) {
    const key = button.dataset.filter;
    const mark = key === 'above' && counts.above ? `<span class="warn">${icon(ICONS.warning, 13)}</span>` : '';
    patch(mixer, `filter-${key}`, `${mark}${words[key]} ${counts[key]}`, (html) => { button.innerHTML = html; });
    patch(mixer, `pressed-${key}`, key === mixer.filter, (on) => button.setAttribute('aria-pressed', on));
  }
  patch(mixer, 'density', mixer.view.compact, () => {
    for (const button of mixer.buttons.density) button.setAttribute('aria-pressed', (button.dataset.density === 'compact') === mixer.view.compact);
  });
}

// Buttons keep their command by index, so that nothing from Python becomes markup.
function paintMessage(mixer, box, key, message, contentHtml) {
  box.hidden = !message;
  patch(mixer, key, JSON.stringify(message ?? null), () => {
    if (!message) return;
    const actions = message.actions || (message.action ? [message.action] : []);
    box.innerHTML = `${contentHtml()}<span class="space"></span>`
      + actions.map((action, k) => `<button type="button" class="btn" data-action="${k}">${escapeHtml(action.label)}</button>`).join('');
    box.onclick = (event) => {
      const button = event.target.closest('[data-action]');
      if (button) mixer.command(actions[button.dataset.action].command);
    };
  });
}

function noteHtml(note) {
  const part = ({ text, bold, mono }) => {
    const safe = escapeHtml(text);
    if (bold) return `<b>${safe}</b>`;
    return mono ? `<span class="mono">${safe}</span>` : safe;
  };
  const mark = note.tone === 'info' ? '' : `<span class="warn">${icon(ICONS.warning, 14)}</span>`;
  return `${mark}<span>${note.text_parts.map((piece, k) => (k && note.text_parts[k - 1].bold ? ' ' : '') + part(piece)).join('')}</span>`;
}

function paintMessages(mixer) {
  const { note, empty_curves: empty } = mixer.data;
  mixer.find('.note').classList.toggle('info', note?.tone === 'info');
  paintMessage(mixer, mixer.find('.note'), 'note', note, () => noteHtml(note));
  paintMessage(mixer, mixer.find('.empty'), 'empty', empty, () => `<span>${escapeHtml(empty.text)}</span>`);
}

function paintLegend(mixer) {
  const line = (attributes, band = '') => `<svg width="22" height="10" aria-hidden="true">${band}<path d="M0 5h22" fill="none" ${attributes}/></svg>`;
  const most = 4 * mixer.data.tolerance;
  const range = Number.isInteger(most) ? most : most.toFixed(1);
  const html = `<span>${line('class="k-line"', '<rect class="k-band" y="1" width="22" height="8"/>')}drop, 0 to ${range} pt, with 95 % interval</span>`
    + `<span>${line('class="k-tolerance"')}tolerance</span>`
    + '<span><svg width="26" height="10" aria-hidden="true"><path class="k-tick" d="M1.5 1v8"/><path class="k-past" d="M6 5h20"/></svg>past tolerance</span>'
    + `<span>${line('class="k-line k-preview"')}preview</span>`
    + `<span class="foot">${escapeHtml(mixer.data.footer || '')}<button type="button" class="keys-button" aria-expanded="false">Keys <kbd>?</kbd></button></span>`;
  patch(mixer, 'legend', html, () => { mixer.find('.legend').innerHTML = html; });
}

function toggleKeys(mixer, open = mixer.find('.keys').hidden) {
  mixer.find('.keys').hidden = !open;
  mixer.find('.keys-button').setAttribute('aria-expanded', open);
}

// ---- tooltips: after 400 ms, on pointer and on keyboard focus ----

const TIP_AFTER = 400;

function createHints(mixer) {
  const { root } = mixer;
  const hint = mixer.find('.hint');
  let timer = null;
  const hide = () => { clearTimeout(timer); hint.hidden = true; };
  const soon = (target) => {
    hide();
    if (target) timer = setTimeout(() => showHint(mixer, hint, target), TIP_AFTER);
  };
  root.addEventListener('pointerover', (event) => soon(event.target.closest('[data-tip]')));
  root.addEventListener('pointerleave', hide);
  root.addEventListener('pointerdown', hide);
  root.addEventListener('focusin', (event) => soon(event.target.matches(':focus-visible') && event.target.closest('[data-tip]')));
  root.addEventListener('focusout', hide);
  mixer.scroller.addEventListener('scroll', hide, { passive: true });
}

function showHint(mixer, hint, target) {
  const isName = target.classList.contains('nm');
  if (isName && target.scrollWidth <= target.clientWidth) return;
  hint.textContent = target.dataset.tip;
  hint.hidden = false;
  const home = mixer.root.getBoundingClientRect(), box = target.getBoundingClientRect(), own = hint.getBoundingClientRect();
  const below = box.bottom + 6 + own.height < window.innerHeight;
  hint.style.left = `${clamp(box.left + box.width / 2 - own.width / 2 - home.left, 4, home.width - own.width - 4)}px`;
  hint.style.top = `${(below ? box.bottom + 6 : box.top - own.height - 6) - home.top}px`;
}

// While dragging: how many weights, and what that makes of the size.
function paintDragTip(mixer) {
  const { drag } = mixer;
  const box = mixer.dragTip;
  box.hidden = !drag || drag.byKey;
  if (box.hidden) return;
  const rows = [...drag.members].filter((row) => row.data.prunable);
  const weights = rows.reduce((sum, row) => sum + row.data.n_weights, 0);
  const pruned = rows.reduce((sum, row) => sum + Math.round(row.data.n_weights * row.sparsity), 0);
  // A mask of one bit a weight is stored with fine-grained zeros; structured ones need none (`index_bits` 0).
  const saved = rows.reduce((sum, row) => sum + savedBytes(row), 0);
  const { source } = drag;
  const units = oneRow(rows);
  const what = rows.length > 1 ? `of ${rows.length} layers` : 'of weights';
  let html = `<b>${percent(Math.round(1000 * source.sparsity) / 1000)} %</b> ${what}, ${thousands(pruned)} of ${thousands(weights)} &nbsp;·&nbsp; size about ${saved > 0 ? MINUS : ''}${bytesText(saved)}`;
  if (units) html = `<b>${thousands(Math.round(units.n * source.sparsity))}</b> of ${thousands(units.n)} ${units.word}${units.n > 1 ? 's' : ''}${rows.length > 1 ? `, in ${rows.length} layers` : ''}`;
  const estimate = !source.isBunch && (units || rows.length === 1) && shownDrop(source, mixer.view.tolerance);
  if (estimate && estimate.value != null) html += ` &nbsp;·&nbsp; drop alone about ${signed(estimate.value)} pt`;
  box.innerHTML = html;
  const { left, width, top } = drag.place;
  const thumb = left + 7 + (width - 14) * source.sparsity;
  box.style.transform = `translate(calc(${Math.round(clamp(thumb, 200, Math.max(200, drag.place.home - 200)))}px - 50%), ${Math.round(top)}px)`;
}

// What a drag of one coupled row removes: channels or heads, whose size and MACs the headline works out exactly.
function oneRow(rows) {
  const [first] = rows;
  return first?.data.units && rows.every((row) => row === first || isKin(row, first)) ? first.data.units : null;
}

function savedBytes(row) {
  const { n_weights: weights, bytes_per_weight: bytes = 4, index_bits: bits = 1 } = row.data;
  return Math.max(0, weights * row.sparsity * bytes - (row.sparsity > 0 ? weights * bits / 8 : 0));
}
function bytesText(bytes) {
  const units = ['B', 'KB', 'MB', 'GB'];
  let k = 0;
  while (bytes >= 1000 && k < units.length - 1) { bytes /= 1000; k += 1; }
  return `${bytes < 10 && k ? bytes.toFixed(1) : Math.round(bytes)} ${units[k]}`;
}

// The four figures at the top of each page. Full form with glyphs on Explore, slim form in one line elsewhere.
// Built once per form and set of metrics; then only what changed is patched, so a focused button keeps its focus.

const GLYPH_WIDTH = 200;
const GLYPH = `class="glyph" viewBox="0 0 ${GLYPH_WIDTH} 12" preserveAspectRatio="none" aria-hidden="true"`;
const COPIED_FOR = 1600;

const box = (className, x, y, width, height) => `<rect class="${className}" x="${x.toFixed(1)}" y="${y}" width="${Math.max(0, width).toFixed(1)}" height="${height}"/>`;

// Window: six points below dense to two above it; it widens where a value or its interval lies outside.
function accuracyGlyph({ dense, value, low, high, tolerance }) {
  const known = [value, low, high].filter((number) => number != null);
  const left = Math.min(dense - 6, ...known.map((number) => number - 0.5));
  const right = Math.max(dense + 2, ...known.map((number) => number + 0.5));
  const x = (accuracy) => GLYPH_WIDTH * (accuracy - left) / (right - left);
  const interval = low != null && high != null ? box('interval', x(low), 4, x(high) - x(low), 5) : '';
  const present = value != null ? box('present', x(value) - 1.5, 1.5, 3, 10) : '';
  const limit = tolerance != null ? `<path class="limit" d="M${x(tolerance).toFixed(1)} 0V12"/>` : '';
  return `<svg ${GLYPH}><path class="axis" d="M0 6.5H${GLYPH_WIDTH}"/>${interval}${box('dense', x(dense) - 1, 1.5, 2, 10)}${present}${limit}</svg>`;
}

// Grey bar dense, blue bar present, grey zone: differences that mean nothing.
function barGlyph(glyph) {
  const zone = glyph.null;
  const most = Math.max(1, glyph.fraction ?? 0, zone ? zone[1] : 0);
  const width = (fraction) => GLYPH_WIDTH * fraction / most;
  return `<svg ${GLYPH}>${box('ground', 0, 4, width(1), 5)}${glyph.fraction == null ? '' : box('present', 0, 4, width(glyph.fraction), 5)}`
    + `${zone ? box('zone', width(zone[0]), 2, width(zone[1] - zone[0]), 9) : ''}</svg>`;
}

function glyphHtml(glyph) {
  if (!glyph) return '<span class="glyph"></span>';
  return glyph.kind === 'accuracy' ? accuracyGlyph(glyph) : barGlyph(glyph);
}

const figureHtml = (metric) => `<span class="big">${escapeHtml(metric.value ?? '–')}<span class="u">${escapeHtml(metric.unit || '')}</span></span>`;
const warningHtml = (metric) => (metric.tone === 'warn' ? icon(ICONS.warning, 12) : '');
const actionHtml = (metric) => (metric.action ? `<button type="button" class="act" data-act="${escapeHtml(metric.key)}">${escapeHtml(metric.action.label)}</button>` : '');
const spinnerHtml = (metric) => (metric.busy ? '<span class="spin" role="img" aria-label="measuring"></span>' : '');

function fullHtml(metric) {
  return `<div class="k"><span>${escapeHtml(metric.label)}</span>${spinnerHtml(metric)}<span class="how">${escapeHtml(metric.how || '')}</span>${actionHtml(metric)}</div>`
    + `<div class="v">${figureHtml(metric)}<span class="chg ${escapeHtml(metric.tone || 'plain')}">${warningHtml(metric)}${escapeHtml(metric.change || '')}</span>`
    + `<span class="ci">${escapeHtml(metric.interval || '')}</span><span class="dn">${escapeHtml(metric.dense || '')}</span></div>${glyphHtml(metric.glyph)}`;
}

// "−3.1 pt" and "± 1.1" become "−3.1 ± 1.1 pt".
function changeWithInterval({ change = '', interval }) {
  if (!interval) return change || '';
  return change.endsWith(' pt') ? `${change.slice(0, -3)} ${interval} pt` : `${change} ${interval}`;
}

function slimHtml(metric) {
  return `<span class="label">${escapeHtml(metric.label)}</span>${figureHtml(metric)}`
    + `<span class="chg ${escapeHtml(metric.tone || 'plain')}">${warningHtml(metric)}${escapeHtml(changeWithInterval(metric))}</span>${spinnerHtml(metric)}${actionHtml(metric)}`;
}

const BUTTONS = [['undo', 'Undo', 'Undo (Ctrl+Z)'], ['redo', 'Redo', 'Redo (Ctrl+Shift+Z)'], ['link', 'Copy link', 'Copy a link to this state']];

function build(parent, data, send) {
  const root = document.createElement('section');
  root.className = `head ${data.form}`;
  root.setAttribute('aria-label', 'Headline figures');
  const metrics = data.metrics.map((metric) => `<div class="metric ${escapeHtml(metric.key)}" role="group" aria-label="${escapeHtml(metric.label)}"></div>`).join('');
  const buttons = BUTTONS.map(([key, label, title]) => `<button type="button" class="btn icon" data-do="${key}" title="${title}" aria-label="${label}">${icon(ICONS[key])}</button>`).join('');
  root.innerHTML = `<div class="grid">${metrics}<div class="acts"><div class="r">${buttons}<span class="copied" role="status"></span></div><span class="state"></span></div></div>`
    + '<div class="sr" aria-live="polite"></div>';
  root.addEventListener('click', (event) => {
    const button = event.target.closest('button');
    if (button) onButton(root, button, send);
  });
  parent.appendChild(root);
  return { root, cells: [...root.querySelectorAll('.metric')], shown: [] };
}

function onButton(root, button, send) {
  const { data } = headlines.get(root.getRootNode()) || headlines.get(root.parentNode);
  if (button.dataset.act) {
    const metric = data.metrics.find((candidate) => candidate.key === button.dataset.act);
    if (metric?.action) send(metric.action.command);
  } else if (button.dataset.do === 'link') {
    copyLink(root);
    send({ kind: 'copy_link' });
  } else send({ kind: button.dataset.do });
}

async function copyLink(root) {
  const place = root.querySelector('.copied');
  const done = await writeClipboard(window.top.location.href);
  place.textContent = done ? 'Link copied' : 'Copy the address of this page';
  place.classList.add('shown');
  clearTimeout(place.timer);
  place.timer = setTimeout(() => { place.classList.remove('shown'); place.textContent = ''; }, COPIED_FOR);
}

// Without https the clipboard is missing; a selected text field still works there.
async function writeClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement('textarea');
    field.value = text;
    document.body.appendChild(field);
    field.select();
    const done = document.execCommand('copy');
    field.remove();
    return done;
  }
}

function paint(headline, data) {
  const html = data.form === 'slim' ? slimHtml : fullHtml;
  data.metrics.forEach((metric, k) => {
    const text = html(metric);
    if (headline.shown[k] === text) return;
    headline.shown[k] = text;
    replaceKeepingFocus(headline.cells[k], text);
  });
  data.metrics.forEach((metric, k) => { headline.cells[k].title = metric.title || ''; });
  paintActions(headline.root, data);
  const live = headline.root.querySelector('[aria-live]');
  if (data.announce && live.textContent !== data.announce) live.textContent = data.announce;
}

function replaceKeepingFocus(cell, html) {
  const focused = cell.getRootNode().activeElement;
  const act = focused && cell.contains(focused) ? focused.dataset.act : null;
  cell.innerHTML = html;
  if (act) cell.querySelector('.act')?.focus();
}

function paintActions(root, data) {
  root.querySelector('[data-do=undo]').disabled = !data.can_undo;
  root.querySelector('[data-do=redo]').disabled = !data.can_redo;
  root.querySelector('[data-do=link]').hidden = !data.link;
  const state = root.querySelector('.state');
  const html = data.status ? `${icon(ICONS.check, 14)}<span>${escapeHtml(data.status)}</span>` : '';
  if (state.dataset.text !== (data.status || '')) { state.dataset.text = data.status || ''; state.innerHTML = html; }
}

// While examples are measured or a job runs, Python asks to be asked again. An answer that does not come is asked for anew.
const ANSWER_WITHIN = 3000;
// A question that follows a click on another page names the old page, and Streamlit would then stay there.
let quietUntil = 0;
window.addEventListener('click', (event) => {
  if (event.composedPath().some((element) => element.matches?.('a[href]'))) quietUntil = Date.now() + ANSWER_WITHIN;
}, true);

function askAgain(headline, data, setTriggerValue) {
  clearTimeout(headline.timer);
  if (data.refresh == null) return;
  const ask = () => {
    const quiet = quietUntil - Date.now();
    if (quiet > 0) { headline.timer = setTimeout(ask, quiet); return; }
    setTriggerValue('tick', { at: Date.now() });
    headline.timer = setTimeout(ask, ANSWER_WITHIN);
  };
  headline.timer = setTimeout(ask, data.refresh);
}

// Ctrl+Z works wherever the focus is, but where text is edited and where another component has used the key already.
function undoFromAnywhere(headline) {
  const onKey = (event) => {
    const target = event.composedPath()[0];
    const isText = target.isContentEditable || target.matches?.('textarea, input:not([type=range], [type=checkbox], [type=radio])');
    if (event.defaultPrevented || isText || event.altKey || !(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== 'z') return;
    event.preventDefault();
    headline.send({ kind: event.shiftKey ? 'redo' : 'undo' });
  };
  window.addEventListener('keydown', onKey);
  return () => window.removeEventListener('keydown', onKey);
}

const headlines = new Map();

export default function mount({ data, parentElement, setTriggerValue }) {
  const shape = JSON.stringify([data.form, data.metrics.map((metric) => [metric.key, metric.label])]);
  let headline = headlines.get(parentElement);
  if (!headline || headline.shape !== shape) {
    headline?.leave();
    quietUntil = 0;
    headline = { ...build(parentElement, data, (command) => headlines.get(parentElement).send(command)), shape };
    headlines.set(parentElement, headline);
    const { root } = headline, forget = undoFromAnywhere(headline);
    headline.leave = () => { clearTimeout(headlines.get(parentElement)?.timer); forget(); root.remove(); };
  }
  headline.data = data;
  headline.send = (command) => setTriggerValue('command', command);
  paint(headline, data);
  askAgain(headline, data, setTriggerValue);
  return () => {
    headlines.get(parentElement)?.leave();
    headlines.delete(parentElement);
  };
}

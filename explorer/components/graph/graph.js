// Netron in a same-origin frame: its nodes are painted and listened to from here, the frame is never reloaded for that.
const PREFIX = 'node-name-';
const GIVE_UP = 60_000;            // ms after which the wait for the graph is said to have failed
const HEX = /^#[0-9a-f]{3,8}$/i;
const graphs = new WeakMap();

function build(parentElement) {
  const root = document.createElement('div');
  root.className = 'graph';
  root.innerHTML = '<div class="frame"><div class="state" role="status"></div></div><div class="captions"></div>';
  parentElement.appendChild(root);
  return { root, find: (selector) => root.querySelector(selector), frame: null, data: null, shown: null, send: null };
}

export default function graph({ data, parentElement, setTriggerValue }) {
  const view = graphs.get(parentElement) || build(parentElement);
  graphs.set(parentElement, view);
  const sameFile = view.data && view.data.src === data.src;
  view.data = data;
  view.send = (name) => setTriggerValue('node', { name });
  view.find('.frame').style.height = `${data.height || 620}px`;
  if (!sameFile) openFrame(view);
  showCaptions(view);
  paint(view);
  return () => close(view);
}

function close(view) {
  clearInterval(view.timer);
  if (view.observer) view.observer.disconnect();
}

function say(view, text) {
  view.root.classList.toggle('ready', !text);
  view.find('.state').textContent = text;
}

// Only the app's own viewer may be framed, whatever the data says.
const isViewer = (src) => /^\/netron\/[A-Za-z0-9_-]+\/index\.html$/.test(src);

function openFrame(view) {
  close(view);
  if (view.frame) view.frame.remove();
  view.shown = view.clicked = view.observer = view.frame = view.darkRules = null;
  if (!isViewer(view.data.src || '')) { say(view, 'No graph to show.'); return; }
  const frame = document.createElement('iframe');
  // No pop-ups, dialogs, forms, downloads or leaving the page; same origin so that the nodes can be reached.
  frame.setAttribute('sandbox', 'allow-scripts allow-same-origin');
  frame.title = 'Model graph (Netron)';
  frame.src = view.data.src;
  view.frame = frame;
  say(view, 'Drawing the graph…');
  view.find('.frame').appendChild(frame);
  awaitGraph(view, Date.now());
}

function awaitGraph(view, since) {
  view.timer = setInterval(() => {
    const page = view.frame.contentDocument;
    if (page && page.querySelector('g.node')) {
      clearInterval(view.timer);
      hook(view, page);
      paint(view);
      say(view, '');
    } else if (page && page.readyState === 'complete' && page.URL !== 'about:blank' && !page.getElementById('target')) {
      clearInterval(view.timer);
      say(view, 'The graph is no longer kept. Open the model again.');
    } else if (Date.now() - since > GIVE_UP || failed(page)) {
      clearInterval(view.timer);
      say(view, 'Netron could not draw this model.');
    }
  }, 150);
}

// Netron shows its own error text in place of the graph.
const failed = (page) => Boolean(page && page.body && page.body.classList.contains('alert'));

function hook(view, page) {
  let press = null;
  page.addEventListener('pointerdown', (event) => { press = [event.clientX, event.clientY]; }, true);
  page.addEventListener('click', (event) => {
    const link = event.target.closest('a[href]');
    if (link && !link.getAttribute('href').startsWith('javascript:')) event.preventDefault();
    const node = event.target.closest('g.node'), dragged = press && Math.hypot(event.clientX - press[0], event.clientY - press[1]) > 5;
    if (!node || dragged || !node.id.startsWith(PREFIX)) return;
    view.clicked = node.id.slice(PREFIX.length);            // it is under the pointer: no need to scroll there
    view.send(view.clicked);
  }, true);
  // Netron draws anew when its own options change.
  let queued = false;
  view.observer = new MutationObserver(() => {
    if (queued) return;
    queued = true;
    setTimeout(() => { queued = false; paint(view); }, 50);
  });
  view.observer.observe(page.getElementById('target'), { childList: true, subtree: true });
}

// ---- painting

function paint(view) {
  const page = view.frame && view.frame.contentDocument;
  if (!page || !page.querySelector('g.node')) return;
  followTheme(view, page);
  for (const node of page.querySelectorAll('g.node')) paintNode(view, node);
  const { selected_node: selected } = view.data;
  if (selected === view.shown) return;
  view.shown = selected;
  if (selected !== view.clicked) scrollToNode(page, selected);
  view.clicked = null;
}

function paintNode(view, node) {
  const name = node.id.startsWith(PREFIX) ? node.id.slice(PREFIX.length) : null;
  const colour = name !== null && Object.hasOwn(view.data.colors, name) ? colourOf(view, view.data.colors[name]) : null;
  const type = node.querySelector('.node-item-type') || node.querySelector('.node-item');
  if (type) {
    // Netron's own colours of kinds would compete with the app's: without a colour from us a node is plain.
    const fill = colour || themeValue(view.root, '--st-gray-background-color');
    setStyle(type.querySelector('path'), 'fill', fill);
    setStyle(type.querySelector('text'), 'fill', inkOn(hexToRgb(fill.length < 7 ? doubled(fill) : fill)));
  }
  const chosen = name !== null && name === view.data.selected_node, border = node.querySelector('.node-border');
  setStyle(border, 'stroke', chosen ? themeValue(view.root, '--st-link-color') : '');
  setStyle(border, 'strokeWidth', chosen ? '3px' : '');
}

// A hex colour, or a number from 0 to 1 on the theme's own scale, which differs between light and dark.
function colourOf(view, wish) {
  if (typeof wish === 'number') return toHex(ramp(themeList(view.root, '--st-chart-sequential-colors'), wish));
  return HEX.test(wish || '') ? wish : null;
}

const toHex = (rgb) => `#${rgb.map((part) => part.toString(16).padStart(2, '0')).join('')}`;
const doubled = (hex) => `#${[...hex.slice(1, 4)].map((c) => c + c).join('')}`;
const setStyle = (element, key, value) => { if (element && element.style[key] !== value) element.style[key] = value; };

// Not scrollIntoView: that would move the app's page too.
function scrollToNode(page, name) {
  const node = name && page.getElementById(PREFIX + name), target = page.getElementById('target');
  if (!node || !target) return;
  const box = node.getBoundingClientRect(), area = target.getBoundingClientRect();
  const inside = box.left >= area.left && box.right <= area.right && box.top >= area.top && box.bottom <= area.bottom;
  if (inside) return;
  target.scrollBy({ left: (box.left + box.right - area.left - area.right) / 2, top: (box.top + box.bottom - area.top - area.bottom) / 2 });
}

// Netron follows the system by media queries; these are switched to what Streamlit shows.
function followTheme(view, page) {
  const dark = isDark(view.root), background = themeValue(view.root, '--st-background-color');
  const key = `${dark} ${background}`;
  if (page.documentElement.dataset.theme === key) return;
  page.documentElement.dataset.theme = key;
  view.darkRules = view.darkRules || rulesForDark(page);
  for (const rule of view.darkRules) rule.media.mediaText = dark ? 'all' : 'not all';
  for (const element of [page.body, page.getElementById('target')]) element.style.backgroundColor = background;
}

// Collected once, as a switched rule no longer says what it was for.
const rulesForDark = (page) => [...page.styleSheets].flatMap((sheet) => [...sheet.cssRules])
  .filter((rule) => rule.media && rule.media.mediaText.includes('prefers-color-scheme: dark'));

function showCaptions(view) {
  const { captions } = view.data, list = typeof captions === 'string' ? [{ text: captions }] : captions || [];
  view.find('.captions').innerHTML = list.map(({ color, text }) => {
    const colour = colourOf(view, color);
    return `<span>${colour ? `<i style="background:${colour}"></i>` : ''}${escapeHtml(text)}</span>`;
  }).join('');
}

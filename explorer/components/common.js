// Shared by all components: Python puts this text before each component's own module text.
const MINUS = '−';
const escapeHtml = (text) => String(text).replace(/[&<>"']/g,
  (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }[c]));
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
// Half away from zero, U+2212 as minus, never "−0.0".
const signed = (value, digits = 1) => {
  const size = (Math.abs(value) + 1e-9).toFixed(digits);
  return Number(size) === 0 ? size : (value < 0 ? MINUS : '+') + size;
};
const thousands = (n) => Math.round(n).toLocaleString('en-US');
// 0.125 -> "12.5", 0.5 -> "50"
const percent = (fraction) => (Math.round(1000 * fraction) / 10).toString();
const icon = (paths, size = 16) => `<svg class="ico" width="${size}" height="${size}" viewBox="0 0 16 16" fill="none" `
  + `stroke="currentColor" stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${paths}</svg>`;
const ICONS = {
  lock: '<rect x="3" y="7" width="10" height="7" rx="1.2"/><path d="M5.2 7V5a2.8 2.8 0 0 1 5.6 0v2"/>',
  open: '<rect x="3" y="7" width="10" height="7" rx="1.2"/><path d="M5.2 7V5a2.8 2.8 0 0 1 5.4-1"/>',
  warning: '<path d="M8 2.4l6 11.2H2z"/><path d="M8 6.8v3.2M8 12v.1"/>',
  blocked: '<circle cx="8" cy="8" r="5.6"/><path d="M4.2 11.8l7.6-7.6"/>',
  search: '<circle cx="7" cy="7" r="4.2"/><path d="M10.2 10.2L14 14"/>',
  undo: '<path d="M6 4L2.5 7.2 6 10.5"/><path d="M3 7.2h6.2a3.6 3.6 0 0 1 0 7.2H7"/>',
  redo: '<path d="M10 4l3.5 3.2L10 10.5"/><path d="M13 7.2H6.8a3.6 3.6 0 0 0 0 7.2H9"/>',
  link: '<path d="M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2.3-2.3a2.6 2.6 0 0 0-3.7-3.7l-1 1"/><path d="M9.2 6.8a2.6 2.6 0 0 0-3.7 0L3.2 9.1a2.6 2.6 0 0 0 3.7 3.7l1-1"/>',
  check: '<path d="M3 8.5l3.2 3.2L13 4.8"/>',
  clock: '<circle cx="8" cy="8" r="5.8"/><path d="M8 4.8V8l2.2 1.6"/>',
  options: '<path d="M2 4.5h6.5M12 4.5h2M2 11.5h2M7.5 11.5H14"/><circle cx="10.2" cy="4.5" r="1.7"/><circle cx="5.8" cy="11.5" r="1.7"/>',
  target: '<circle cx="8" cy="8" r="5.6"/><circle cx="8" cy="8" r="2"/>',
  up: '<path d="M8 13V3M4 7l4-4 4 4"/>',
  down: '<path d="M8 3v10M4 9l4 4 4-4"/>',
};
const hexToRgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
// Colour of `position` in [0, 1] on a list of hex stops -> [r, g, b].
const ramp = (stops, position) => {
  const t = clamp(position, 0, 0.9999) * (stops.length - 1), k = Math.floor(t);
  const low = hexToRgb(stops[k]), high = hexToRgb(stops[k + 1]);
  return low.map((v, i) => Math.round(v + (t - k) * (high[i] - v)));
};
const luminance = (rgb) => {
  const [r, g, b] = rgb.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
// Text that reaches 4.5:1 on a coloured cell.
const inkOn = (rgb) => (luminance(rgb) > 0.18 ? '#14171c' : '#ffffff');
// A theme value of Streamlit (`--st-...`), read where the component is mounted.
const themeValue = (element, name) => getComputedStyle(element).getPropertyValue(name).trim();
const themeList = (element, name) => themeValue(element, name).split(',').map((s) => s.trim()).filter(Boolean);
const isDark = (element) => luminance(hexToRgb(themeValue(element, '--st-background-color').padEnd(7, 'f'))) < 0.2;
// One tooltip of a component: text at a point of `root`, kept inside its width; `null` hides it.
const makeTip = (root) => {
  const box = document.createElement('div');
  box.className = 'hover-tip';
  box.hidden = true;
  root.appendChild(box);
  const show = (lines, clientX, clientY) => {
    const area = root.getBoundingClientRect();
    box.innerHTML = lines.map((line, i) => (i ? escapeHtml(line) : `<b>${escapeHtml(line)}</b>`)).join('<br>');
    box.hidden = false;
    const left = clientX - area.left + 12;
    const free = area.width - box.offsetWidth - 4;
    box.style.left = `${Math.max(0, left > free ? clientX - area.left - box.offsetWidth - 12 : left)}px`;
    box.style.top = `${clientY - area.top + 14}px`;
  };
  return { show, hide: () => { box.hidden = true; } };
};
// At most one call in `ms`; the last one always goes out.
const throttle = (send, ms) => {
  let timer = null, waiting = null;
  const tick = () => {
    timer = null;
    if (waiting) { const args = waiting; waiting = null; send(...args); timer = setTimeout(tick, ms); }
  };
  const call = (...args) => {
    if (timer) { waiting = args; return; }
    send(...args);
    timer = setTimeout(tick, ms);
  };
  call.cancel = () => { clearTimeout(timer); timer = waiting = null; };
  return call;
};

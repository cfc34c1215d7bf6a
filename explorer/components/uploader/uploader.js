// A file goes to the server in one streamed request of the browser's own; Python hears of it when it is there.
const ADDRESS = '/api/upload/';
const views = new WeakMap();
const current = new Map();   // what is drawn now, by key
const waiting = new Map();   // what came while its component was not on the page, by its key

function build(parentElement) {
  const root = document.createElement('div');
  root.className = 'up';
  root.innerHTML = '<div class="zone"><div class="words"><div class="what"></div><div class="hint"></div>'
    + '<div class="track" role="progressbar" aria-valuemin="0" aria-valuemax="100" hidden><div class="fill"></div></div></div>'
    + '<button type="button" class="btn"></button><input type="file" hidden></div>'
    + `<div class="refusal" role="alert" hidden>${icon(ICONS.warning)}<div><span class="code"></span> <span class="sentence"></span></div></div>`
    + '<div class="sr" role="status"></div>';
  parentElement.appendChild(root);
  const view = { root, find: (selector) => root.querySelector(selector), request: null, data: null, send: null, mounted: true };
  listen(view);
  return view;
}

function listen(view) {
  const zone = view.find('.zone'), input = view.find('input');
  view.find('button').addEventListener('click', () => (view.request ? cancel(view) : input.click()));
  input.addEventListener('change', () => { take(view, input.files); input.value = ''; });
  for (const kind of ['dragenter', 'dragover']) {
    zone.addEventListener(kind, (event) => { event.preventDefault(); zone.classList.toggle('over', !view.request); });
  }
  zone.addEventListener('dragleave', (event) => { if (!zone.contains(event.relatedTarget)) zone.classList.remove('over'); });
  zone.addEventListener('drop', (event) => {
    event.preventDefault();
    zone.classList.remove('over');
    take(view, event.dataTransfer.files);
  });
}

export default function uploader({ data, parentElement, setTriggerValue }) {
  const view = views.get(parentElement) || build(parentElement);
  views.set(parentElement, view);
  view.data = data;
  view.mounted = true;
  current.set(data.key, view);
  view.send = (file) => setTriggerValue('uploaded', file);
  view.find('input').accept = data.accept;
  if (!view.request) rest(view);
  const file = waiting.get(data.key);
  if (file) { waiting.delete(data.key); setTimeout(() => view.send(file), 0); }
  return () => { view.mounted = false; };
}

function take(view, files) {
  if (view.request || !files.length) return;
  refuse(view, null);
  if (files.length > 1) { refuse(view, { code: 'E622', sentence: 'These are several files; choose one at a time.' }); return; }
  const file = files[0];
  if (file.size > view.data.most_bytes) { refuse(view, { code: 'E601', sentence: view.data.too_large }); return; }
  if (!file.size) { refuse(view, { code: 'E602', sentence: `“${file.name}” is empty; choose the file again.` }); return; }
  upload(view, file);
}

// Letters, digits, dot, dash and underscore; the server does the same once more.
const plain = (name) => name.normalize('NFKD').replace(/[^A-Za-z0-9._-]+/g, '_').replace(/^[._-]+/, '').slice(-64) || 'file';

function upload(view, file) {
  const request = new XMLHttpRequest();
  view.request = request;
  request.open('PUT', ADDRESS + plain(file.name));
  request.setRequestHeader('X-Pruning-Explorer', 'upload');
  request.setRequestHeader('Content-Type', 'application/octet-stream');
  request.upload.addEventListener('progress', (event) => progress(view, file, event.loaded, event.total || file.size));
  request.addEventListener('load', () => finished(view, request));
  request.addEventListener('error', () => ended(view, { code: 'E602', sentence: 'The connection was lost; choose the file again.' }));
  request.addEventListener('abort', () => ended(view, null));
  progress(view, file, 0, file.size);
  view.find('.track').hidden = false;
  view.find('button').textContent = 'Cancel';
  view.find('[role=status]').textContent = `Sending ${file.name}`;
  request.send(file);
}

function progress(view, file, sent, total) {
  const share = total ? Math.round((100 * sent) / total) : 100;
  const what = view.find('.what');
  what.textContent = file.name;
  what.className = 'what file';
  view.find('.hint').textContent = share < 100 ? `${megabytes(sent)} of ${megabytes(total)}` : 'Sent; the server keeps it…';
  view.find('.fill').style.width = `${share}%`;
  view.find('.track').setAttribute('aria-valuenow', share);
  view.find('.track').setAttribute('aria-label', `${file.name}, sent`);
}

const megabytes = (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(n < 1e7 ? 1 : 0)} MB` : `${Math.max(1, Math.round(n / 1e3))} KB`);

function finished(view, request) {
  const answer = read(request.responseText);
  if (request.status !== 201) {
    ended(view, answer.sentence ? answer : { code: `${request.status}`, sentence: 'The server did not take the file; choose it again.' });
    return;
  }
  ended(view, null);
  const file = { token: answer.token, name: answer.name };
  const now = current.get(view.data.key);   // drawn anew meanwhile, it is another than the one that began
  if (!now || !now.mounted) { waiting.set(view.data.key, file); return; }
  now.send(file);
  setTimeout(() => closeMenu(now), 500);     // a component that is gone sends nothing
}

// What becomes of the file is said below the navigation, which an open menu would cover.
function closeMenu(view) {
  const escape = { key: 'Escape', code: 'Escape', keyCode: 27, bubbles: true, composed: true };
  view.root.dispatchEvent(new KeyboardEvent('keydown', escape));
  view.root.dispatchEvent(new KeyboardEvent('keyup', escape));
}

function read(text) {
  try { return JSON.parse(text); } catch { return {}; }
}

function cancel(view) {
  view.request.abort();
}

function ended(view, refusal) {
  view.request = null;
  rest(view);
  refuse(view, refusal);
}

// What stands there while nothing is sent.
function rest(view) {
  const what = view.find('.what');
  what.textContent = view.data.label;
  what.className = 'what';
  view.find('.hint').textContent = view.data.hint;
  view.find('.track').hidden = true;
  view.find('button').textContent = 'Choose a file';
  view.find('button').setAttribute('aria-label', `${view.data.label}: choose a file`);
  view.find('[role=status]').textContent = '';
}

function refuse(view, refusal) {
  view.find('.refusal').hidden = !refusal;
  view.find('.code').textContent = refusal ? refusal.code : '';
  view.find('.sentence').textContent = refusal ? sentenceCase(refusal.sentence) : '';
}

const sentenceCase = (text) => {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
};

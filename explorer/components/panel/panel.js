// Header of the selected layer and the tabs of its views. Built once; then only texts and states are patched.

const TAB_KEYS = { ArrowRight: 1, ArrowLeft: -1 };

function build(parent, send) {
  const root = document.createElement('section');
  root.className = 'panel';
  root.setAttribute('aria-label', 'Selected layer');
  root.innerHTML = '<div class="top"><h2 class="name"></h2><span class="tag"></span><span class="space"></span>'
    + `<button type="button" class="btn icon ghost" data-step="-1" title="Previous layer (K)" aria-label="Previous layer">${icon(ICONS.up)}</button>`
    + `<button type="button" class="btn icon ghost" data-step="1" title="Next layer (J)" aria-label="Next layer">${icon(ICONS.down)}</button></div>`
    + '<div class="facts"></div><div class="tabs" role="tablist" aria-label="Views of the layer"></div>';
  root.addEventListener('click', (event) => {
    const step = event.target.closest('[data-step]');
    const tab = event.target.closest('[role=tab]');
    if (step) send('step', { by: Number(step.dataset.step) });
    if (tab) send('tab', { tab: tab.dataset.tab });
  });
  root.addEventListener('keydown', (event) => moveTab(event, send));
  parent.appendChild(root);
  return root;
}

// Left and right move along the tabs, as in any tab list.
function moveTab(event, send) {
  const tab = event.target.closest('[role=tab]');
  if (!tab || !TAB_KEYS[event.key]) return;
  const tabs = [...tab.parentElement.children];
  const next = tabs[(tabs.indexOf(tab) + TAB_KEYS[event.key] + tabs.length) % tabs.length];
  next.focus();
  send('tab', { tab: next.dataset.tab });
  event.preventDefault();
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function paintTabs(root, data) {
  const list = root.querySelector('.tabs');
  if (list.dataset.tabs !== data.tabs.join()) {
    list.dataset.tabs = data.tabs.join();
    list.innerHTML = data.tabs.map((tab) => `<button type="button" role="tab" data-tab="${escapeHtml(tab)}">${escapeHtml(tab)}</button>`).join('');
  }
  for (const tab of list.children) {
    const chosen = tab.dataset.tab === data.tab;
    tab.setAttribute('aria-selected', chosen);
    tab.tabIndex = chosen ? 0 : -1;
  }
}

function paint(root, data) {
  setText(root.querySelector('.name'), data.layer);
  root.querySelector('.name').title = data.layer;
  const tag = root.querySelector('.tag');
  setText(tag, data.tag);
  tag.classList.toggle('pruned', data.pruned);
  const facts = root.querySelector('.facts');
  const html = data.facts.map((fact) => `<span${fact.strong ? ' class="strong"' : ''}>${escapeHtml(fact.text)}</span>`).join('');
  if (facts.dataset.html !== html) { facts.dataset.html = html; facts.innerHTML = html; }
  paintTabs(root, data);
}

const panels = new WeakMap();

export default function mount({ data, parentElement, setTriggerValue }) {
  let panel = panels.get(parentElement);
  if (!panel) {
    panel = {};
    panel.root = build(parentElement, (event, value) => panel.send(event, value));
    panels.set(parentElement, panel);
  }
  panel.send = (event, value) => setTriggerValue(event, value);
  paint(panel.root, data);
}

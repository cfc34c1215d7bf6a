// Keyboard. Single letters work only while the mixer has focus and no text field or select does.

const isTextField = (element) => element.matches('input:not([type=range])');
const isField = (element) => isTextField(element) || element.matches('select');
const ROW_CONTROLS = '.pct input, .gran .sl, .crit .sl, .lk, .link, .caret';

function onKeyDown(mixer, event) {
  const target = event.target;
  const handled = onAnywhereKey(mixer, event, target)
    || (target.closest('.pct') && onNumberKey(mixer, event, target))
    || (target.matches('.find input') && onFindKey(mixer, event, target))
    || (target.matches('.tolerance') && onToleranceKey(mixer, event, target))
    || onControlKey(mixer, event, target)
    || (!isField(target) && (onRowKey(mixer, event, target) || onLetterKey(mixer, event, target)));
  if (handled) { event.preventDefault(); event.stopPropagation(); }
}

function onAnywhereKey(mixer, event, target) {
  const undo = (event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === 'z';
  if (undo && !isTextField(target)) { mixer.command({ kind: event.shiftKey ? 'redo' : 'undo' }); return true; }
  if (event.key === 'Escape' && !mixer.find('.keys').hidden) { toggleKeys(mixer, false); return true; }
  return false;
}

// ---- fields ----

function onNumberKey(mixer, event, field) {
  const item = mixer.itemOf(field);
  if (event.key === 'Enter') { mixer.commitField(item); mixer.focusItem(item); return true; }
  if (event.key === 'Escape') { mixer.restoreField(item); mixer.focusItem(item); return true; }
  return false;
}

function onFindKey(mixer, event, field) {
  if (event.key === 'Escape') { field.value = ''; mixer.setSearch(''); mixer.focusItem(mixer.active); return true; }
  if (event.key === 'Enter' || event.key === 'ArrowDown') { if (mixer.shown.length) mixer.goTo(mixer.shown[0]); return true; }
  return false;
}

function onToleranceKey(mixer, event, field) {
  if (event.key === 'Escape') { mixer.resetTolerance(); field.blur(); return true; }
  if (event.key === 'Enter') { field.blur(); return true; }
  return false;
}

// Inside a row's fields Tab goes on to the next one, Esc back to the slider.
function onControlKey(mixer, event, target) {
  if (!target.closest('.rw') || !target.matches(ROW_CONTROLS)) return false;
  const item = mixer.itemOf(target);
  if (event.key === 'Escape') { mixer.focusItem(item); return true; }
  if (event.key !== 'Tab') return false;
  const controls = [...item.element.querySelectorAll(ROW_CONTROLS)].filter((control) => !control.disabled && control.offsetParent);
  const next = controls[controls.indexOf(target) + (event.shiftKey ? -1 : 1)];
  if (next) next.focus();
  return Boolean(next);
}

// ---- rows ----

function onRowKey(mixer, event, target) {
  const item = target.closest('.rw') && (target.matches('.range') || target.matches('.rw')) ? mixer.itemOf(target) : null;
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const along = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
  if (along && (item || event.key.length === 1)) { mixer.step(along, event.shiftKey); return true; }
  if (!item || !item.parts.slider) return false;
  if (item.stage?.bunch === item && event.key === ' ') { setCollapsed(mixer, item.stage, !item.stage.collapsed); return true; }
  if (event.key === 'Enter') { mixer.enterRow(item); return true; }
  if (item.locked) return ['ArrowLeft', 'ArrowRight', 'Home', 'End', 'PageUp', 'PageDown'].includes(event.key);
  if (/^[0-9]$/.test(event.key)) { mixer.typeNumber(item, event.key); return true; }
  const sparsity = keyedSparsity(item, event);
  if (sparsity == null) return false;
  mixer.slideByKey(item, sparsity);
  return true;
}

function keyedSparsity(item, event) {
  const direction = { ArrowRight: 1, ArrowLeft: -1, PageUp: 1, PageDown: -1 }[event.key];
  const size = event.shiftKey || event.key.startsWith('Page') ? 5 : 1;
  if (event.key === 'Home') return 0;
  if (event.key === 'End') return item.isBunch ? 0.99 : snap(item, 0.99);
  if (!direction) return null;
  if (!item.isBunch) return nextStep(item, item.sparsity, direction, size);
  return clamp((Math.round(100 * item.sparsity) + direction * size) / 100, 0, 0.99);
}

function onLetterKey(mixer, event, target) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (/^[1-5]$/.test(event.key)) { mixer.command({ kind: 'tab', index: Number(event.key) }); return true; }
  if (event.key === 'Escape') { mixer.clearMarks(); return true; }
  const actions = {
    '/': () => mixer.find('.find input').select(),
    '?': () => toggleKeys(mixer),
    l: () => mixer.toggleLock(mixer.active),
    g: () => mixer.markGroup(mixer.active),
    m: () => mixer.command({ kind: 'mask' }),
  };
  const action = actions[event.key.toLowerCase()];
  if (action) action();
  return Boolean(action);
}

// A held key is one undo step: it commits when it is let go.
function onKeyUp(mixer, event) {
  const moves = ['ArrowLeft', 'ArrowRight', 'Home', 'End', 'PageUp', 'PageDown'];
  if (mixer.drag?.byKey && moves.includes(event.key)) mixer.finishDrag();
}

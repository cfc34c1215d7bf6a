// Threshold and sparsity are two words for one place on the layer's own sorted sizes; dragging the lines between them.
const COMMIT_PAUSE = 400;         // ms of quiet after slider keys before one commit

function sparsityAt(quantiles, threshold) {
  const steps = quantiles.length - 1;
  let k = 0;
  while (k < steps && quantiles[k + 1] <= threshold) k += 1;
  const span = k < steps ? quantiles[k + 1] - quantiles[k] : 0;
  const inside = span > 0 ? clamp((threshold - quantiles[k]) / span, 0, 1) : 0;
  return clamp(Math.round(1000 * (k + inside) / steps) / 1000, 0, 0.99);
}

function thresholdAt(quantiles, sparsity) {
  const at = clamp(sparsity, 0, 1) * (quantiles.length - 1), k = Math.min(Math.floor(at), quantiles.length - 2);
  return quantiles[k] + (at - k) * (quantiles[k + 1] - quantiles[k]);
}

function moveTo(panel, sparsity, threshold) {
  panel.sparsity = sparsity;
  panel.drag = panel.drag || { keys: true };
  panel.drag.threshold = threshold;
  placeLines(panel, threshold);
  panel.sendDrag(sparsity);
}

function stopDrag(panel) {
  clearTimeout(panel.commitTimer);
  panel.sendDrag.cancel();
  panel.drag = null;
}

function commit(panel) {
  const { sparsity } = panel, threshold = panel.drag && panel.drag.threshold;
  stopDrag(panel);
  if (threshold !== undefined && threshold !== null) {
    panel.map.histogram.threshold = threshold;                // stays here until Python answers
    panel.send.trigger('commit', { sparsity });
  }
}

function listenToHistogram(panel) {
  const svg = panel.find('.hist');
  const value = (event) => {
    const { low, high } = panel.map.histogram, area = svg.getBoundingClientRect();
    return low + (high - low) * (event.clientX - area.left) / area.width;
  };
  svg.addEventListener('pointerdown', (event) => {
    const handle = event.target.closest('.handle');
    if (!handle || !panel.map.draggable) return;
    event.preventDefault();
    panel.find('.handle.right').focus({ focusVisible: false });
    // Where both lines lie together (a dense layer) the first movement says which one is meant.
    const together = panel.map.histogram.threshold * panel.histWidth < 12 * (panel.map.histogram.high - panel.map.histogram.low) / 2;
    panel.drag = { pointer: true, side: together ? 0 : handle.classList.contains('left') ? -1 : 1 };
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener('pointermove', (event) => {
    if (!panel.drag || !panel.drag.pointer) return;
    panel.drag.side = panel.drag.side || Math.sign(value(event));
    const threshold = clamp(panel.drag.side * value(event), 0, panel.map.histogram.high);
    moveTo(panel, sparsityAt(panel.map.histogram.abs_sorted_quantiles, threshold), threshold);
  });
  svg.addEventListener('pointerup', () => { if (panel.drag && panel.drag.pointer) commit(panel); });
  svg.addEventListener('pointercancel', () => { if (panel.drag) { stopDrag(panel); layOut(panel); } });
  svg.addEventListener('keydown', (event) => sliderKey(panel, event));
}

function sliderKey(panel, event) {
  const size = event.shiftKey ? 0.05 : 0.01, steps = { ArrowLeft: -size, ArrowDown: -size, ArrowRight: size, ArrowUp: size, Home: -1, End: 1 };
  const step = steps[event.key];
  if (!step || !panel.map.draggable || !hasLines(panel)) return;
  event.preventDefault();
  const sparsity = clamp(Math.round(1000 * (panel.sparsity + step)) / 1000, 0, 0.99);
  moveTo(panel, sparsity, thresholdAt(panel.map.histogram.abs_sorted_quantiles, sparsity));
  clearTimeout(panel.commitTimer);
  panel.commitTimer = setTimeout(() => commit(panel), COMMIT_PAUSE);
}

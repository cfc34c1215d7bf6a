// Histogram of weights by size, with the pruned part and the threshold lines.
const HIST = { height: 180, top: 22, bars: 132 };

const hasLines = (panel) => panel.map.histogram.threshold !== null;
const histX = (panel, value) => { const { low, high } = panel.map.histogram; return panel.histWidth * (value - low) / (high - low); };

function drawHistogram(panel, width) {
  panel.histWidth = width;
  const { histogram: hist } = panel.map, lines = hasLines(panel), svg = panel.find('.hist');
  svg.classList.toggle('draggable', lines && panel.map.draggable);
  const bars = barPaths(hist, width, lines);
  panel.find('.bars').innerHTML = lines
    ? `<path class="kept" clip-path="url(#outside)" d="${bars.whole}"/><path class="pruned" clip-path="url(#inside)" d="${bars.whole}"/>`
    : `<path class="kept" d="${bars.kept}"/><path class="pruned" d="${bars.pruned}"/>`;
  panel.find('.scales').innerHTML = `<line x1="0" x2="${width}" y1="${HIST.top + HIST.bars + 0.5}" y2="${HIST.top + HIST.bars + 0.5}" stroke="var(--line)"/>`
    + ticks(hist.low, hist.high, width).map((v) => `<text x="${histX(panel, v)}" y="${HIST.top + HIST.bars + 15}" text-anchor="middle">${tickText(v)}</text>`).join('')
    + `<text x="${width}" y="9" text-anchor="end" style="font-size:10px">square-root scale</text>`;
  for (const handle of svg.querySelectorAll('.handle')) {
    handle.style.display = lines ? '' : 'none';
    handle.innerHTML = `<line class="line" y1="18" y2="${HIST.top + HIST.bars}"/><path class="cap" d="M-5 14h10l-5 6z"/><rect class="hit" x="-12" y="0" width="24" height="${HIST.top + HIST.bars}"/>`;
  }
  panel.find('.handle.right').setAttribute('tabindex', panel.map.draggable ? '0' : '-1');
  panel.find('.hint').textContent = hint(panel);
  placeLines(panel, hist.threshold);
}

// Without lines each bar is split by share: its height is on a root scale, so two stacked counts would lie.
function barPaths(hist, width, lines) {
  const most = Math.max(1, ...hist.counts), step = width / hist.counts.length, floor = HIST.top + HIST.bars;
  const bar = (i, from, to) => (to - from < 0.05 ? '' : `M${i * step + 0.4} ${floor - from}h${Math.max(0.5, step - 0.8)}V${floor - to}h${-Math.max(0.5, step - 0.8)}z`);
  const paths = { whole: '', kept: '', pruned: '' };
  hist.counts.forEach((count, i) => {
    const height = HIST.bars * Math.sqrt(count / most), grey = count ? height * hist.pruned[i] / count : 0;
    if (lines) paths.whole += bar(i, 0, height);
    else { paths.pruned += bar(i, 0, grey); paths.kept += bar(i, grey, height); }
  });
  return paths;
}

function ticks(low, high, width) {
  const rough = (high - low) / clamp(width / 48, 3, 9), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const first = Math.ceil(low / step + 0.15), last = Math.floor(high / step - 0.15);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(6)));
}
const tickText = (value) => (value === 0 ? '0' : (value < 0 ? MINUS : '+') + Math.abs(value));

function hint({ map }) {
  if (map.histogram.threshold === null) {
    return map.sparsity ? `Pruned by ${map.pruned_by}. The grey part of each bar is pruned.` : 'Nothing is pruned.';
  }
  return map.draggable ? 'Drag a threshold line to set the sparsity of this layer.' : (map.drag_note || '');
}

// Moves lines, colours and figures only: the bars do not change while dragging.
function placeLines(panel, threshold) {
  const label = panel.find('.threshold'), sparsity = panel.sparsity;
  label.innerHTML = threshold === null ? '' : `threshold <b>${threshold.toFixed(4)}</b>`;
  if (threshold === null) { panel.find('.labels').innerHTML = ''; return; }
  const width = panel.histWidth, left = clamp(histX(panel, -threshold), 0, width), right = clamp(histX(panel, threshold), 0, width);
  const [first, second] = panel.find('#outside').children, inside = panel.find('#inside').firstElementChild;
  setRect(first, 0, left);
  setRect(second, right, width);
  setRect(inside, left, right);
  panel.find('.handle.left').setAttribute('transform', `translate(${left} 0)`);
  panel.find('.handle.right').setAttribute('transform', `translate(${right} 0)`);
  panel.find('.labels').innerHTML = histogramLabels(left, right, width, sparsity);
  const slider = panel.find('.handle.right');
  slider.setAttribute('aria-valuenow', Math.round(100 * sparsity));
  slider.setAttribute('aria-valuetext', `${percent(sparsity)} percent pruned, threshold ${threshold.toFixed(4)}`);
}

function setRect(rect, from, to) {
  rect.setAttribute('x', from);
  rect.setAttribute('width', Math.max(0, to - from));
}

function histogramLabels(left, right, width, sparsity) {
  const kept = (x) => `<text class="strong blue" x="${x}" y="72" text-anchor="middle">kept</text>`;
  const middle = clamp((left + right) / 2, 36, width - 36);
  return `<text class="strong" x="${middle}" y="9" text-anchor="middle">${percent(sparsity)} % pruned</text>`
    + (left > 40 ? kept(Math.min(left / 2, left - 20)) : '') + (width - right > 40 ? kept(Math.max((right + width) / 2, right + 20)) : '');
}

// The stepped line of tolerance and the legend.
const firstAbove = (row, tolerance) => {
  const k = row.cells.findIndex((cell) => isMeasured(cell) && cell.value < -tolerance);
  return k < 0 ? row.cells.length : k;
};

// Broken at rows without any figure: there it would say something that nobody measured.
function tolerancePath({ data, place }) {
  if (unitOf(data) !== 'pt') return '';
  let path = '', open = false;
  data.rows.forEach((row, r) => {
    if (!row.cells.some(isMeasured)) { open = false; return; }
    const x = place.names + firstAbove(row, data.tolerance) * place.cell - 0.5, y = r * place.height - 0.5;
    path += `${open ? 'L' : 'M'}${x} ${y}L${x} ${y + place.height}`;
    open = true;
  });
  return path;
}


const tick = ({ dense, large, higher_is_better: higher }, share) => short(dense + (higher ? -1 : 1) * large * share);

function drawLegend(sweep) {
  const { data, colours } = sweep, { metric } = data, sizes = data.rows.flatMap((row) => row.cells).filter((c) => c.state === 'preview' && c.n).map((c) => c.n);
  const count = sizes.length ? Math.min(...sizes) : 64;
  const ticks = [0, 1 / 40, 1 / 8, 1 / 4, 1 / 2, 1].map((share) => `<text text-anchor="middle" x="${clamp(179 * Math.sqrt(share), 3, 166)}" y="23">${tick(metric, share)}</text>`);
  const html = `<svg width="180" height="28" role="img" aria-label="Colour: ${escapeHtml(metric.label)}"><defs><linearGradient id="drop">`
    + `${colours.stops.map((stop, i) => `<stop offset="${i / (colours.stops.length - 1)}" stop-color="${stop}"/>`).join('')}</linearGradient></defs>`
    + `<rect x=".5" y=".5" width="179" height="9" fill="url(#drop)" stroke="var(--line)"/>${ticks.join('')}</svg>`
    + (metric.unit === 'pt' ? '<span><svg width="14" height="14"><path d="M4 0v7h6v7" fill="none" stroke="var(--text)" stroke-width="2"/></svg>tolerance</span>' : '')
    + `<span><svg width="15" height="14"><rect width="15" height="14" fill="var(--sunk)"/><path d="M7 0h8v8z" fill="var(--dense)"/></svg><i>preview, ${thousands(count)} examples</i></span>`
    + '<span><svg width="16" height="14"><rect x="1" y="1" width="14" height="12" fill="none" stroke="var(--accent-text)" stroke-width="2" stroke-dasharray="4 3"/></svg>measuring now</span>'
    + (data.rows.some((row) => row.cells.some((cell) => cell.state === 'bracketed'))
      ? '<span><svg width="14" height="14"><path d="M4 1h-2v12h2M10 1h2v12h-2" fill="none" stroke="var(--text)" stroke-width="1.2"/></svg>between settled levels</span>' : '')
    + '<span><svg width="10" height="14"><circle cx="5" cy="7" r="3.2" fill="none" stroke="var(--text)" stroke-width="1.6"/></svg>present plan</span>'
    + '<span class="how">Click a cell to set that layer; Enter does the same.</span>';
  if (sweep.legend !== html) { sweep.legend = html; sweep.find('.legend').innerHTML = html; }
}

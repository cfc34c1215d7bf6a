// Words under the heatmap, the chosen kernel and the legend.
function showCaptions(panel) {
  const { map } = panel;
  for (const name of ['.first', '.last']) panel.find(name).style.visibility = map.sorted ? 'visible' : 'hidden';
  panel.find('.axes').textContent = `${map.col_axis}, ${map.row_axis}${map.sorted ? ', sorted by norm' : ''}`;
  panel.find('.map').setAttribute('aria-label', `Weights of ${map.layer}: ${map.row_axis}, ${map.col_axis}; `
    + `${percent(map.sparsity)} % of weights pruned. Arrow keys choose a cell, plus and minus zoom.`);
  const small = Math.min(...panel.size.cell) * (window.devicePixelRatio || 1) < 1;
  const words = [map.aggregated, small ? 'Cells are smaller than pixels here: zoom in to see each one.' : ''].filter(Boolean);
  panel.find('.aggregated').textContent = words.join(' ');
  panel.find('.aggregated').hidden = !words.length;
}

function kernelText(value, largest) {
  if (largest < 0.1) return signed(1000 * value, 0);          // thousandths, said beside it
  return signed(value, Math.abs(value) < 1 ? 2 : Math.abs(value) < 10 ? 1 : 0).replace(/^([+−]?)0\./, '$1.');
}

function showKernel(panel) {
  const { kernel, vmax } = panel.map, box = panel.find('.kernel'), title = panel.find('.title');
  box.hidden = !kernel;
  if (!kernel) { title.innerHTML = '<span>Choose a cell to see its weights.</span>'; box.innerHTML = ''; return; }
  const [tall, wide] = kernel.shape.length > 1 ? kernel.shape : [1, kernel.shape[0]];
  const side = clamp(Math.floor(140 / Math.max(tall, wide)), 8, 28), largest = Math.max(...kernel.values.map(Math.abs));
  const stops = themeList(panel.root, '--st-chart-sequential-colors');
  const cells = kernel.values.map((value, i) => kernelCell(value, kernel.kept[i], (i % wide) * side, Math.floor(i / wide) * side,
    side, ramp(stops, Math.abs(value) / vmax), kernelText(value, largest)));
  box.innerHTML = `<svg width="${wide * side + 1}" height="${tall * side + 1}" role="img" aria-label="${escapeHtml(
    `${kernel.title}: ${kernel.values.map((v) => Number(v.toPrecision(3))).join(', ')}; ${kernel.detail}`)}">${cells.join('')}</svg>`;
  const unit = largest < 0.1 && side >= 22 ? ', ×\u00a00.001' : '';
  title.innerHTML = `<b>${escapeHtml(kernel.title)}</b> <span>${escapeHtml(kernel.detail + unit)}</span>`;
}

function kernelCell(value, kept, x, y, side, colour, text) {
  const fill = kept ? `rgb(${colour})` : 'var(--bg)', ink = kept ? inkOn(colour) : 'var(--muted)';
  return `<g><title>${signed(value, 4)} ${kept ? 'kept' : 'pruned'}</title>`
    + `<rect x="${x + 0.5}" y="${y + 0.5}" width="${side - 1}" height="${side - 1}" fill="${fill}" stroke="var(--line)"/>`
    + (kept ? '' : `<path d="M${x + 3} ${y + side - 3}L${x + side - 3} ${y + 3}" stroke="var(--dense)" opacity=".6"/>`)
    + (side < 22 ? '' : `<text x="${x + side / 2}" y="${y + side / 2 + 3.5}" text-anchor="middle" style="font-size:10px;fill:${ink}">${text}</text>`)
    + '</g>';
}

function showLegend(panel) {
  const { map } = panel, stops = themeList(panel.root, '--st-chart-sequential-colors');
  const whole = map.cell_size > 1 ? `all ${map.cell_size} pruned` : map.aggregated ? 'all pruned' : 'pruned';
  const partly = map.cell_size > 1 || map.aggregated
    ? `<span class="sample"><svg width="13" height="13"><rect x=".5" y=".5" width="12" height="12" fill="${stops[6]}" opacity=".5" stroke="var(--line)"/></svg>partly pruned</span>` : '';
  panel.find('.legend').innerHTML = `<div class="scale"><i style="background:linear-gradient(90deg, ${stops.join(', ')})"></i>`
    + `<div><span>0</span><span>${escapeHtml(map.cell_label)}</span><span>${Number(map.vmax.toPrecision(2)).toString().padEnd(4, '0')}</span></div></div>`
    + `<div class="swatches"><span class="sample"><svg width="13" height="13"><rect x=".5" y=".5" width="12" height="12" fill="var(--bg)" stroke="var(--line)"/>`
    + `<path d="M2.5 10.5L10.5 2.5" stroke="var(--dense)"/></svg>${whole}</span>${partly}</div>`;
}

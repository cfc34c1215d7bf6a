// The heatmap: drawing, zoom, the chosen cell, pointer and keys.
const MAX_ZOOM = 40;
const STROKE_FROM = 5;            // px of a cell from which pruned cells get their diagonal
const SLACK = 4;                  // px a pointer may move and still be a click
const KEY_PAUSE = 150;            // ms of quiet after arrow keys before the cell is sent

// The map takes the whole width; a tall layer gets flatter cells instead of a page of its own.
function sizeMap(panel, width) {
  const { rows, cols } = panel.map, inner = width - 2;
  const square = inner / cols;
  const height = clamp(rows * Math.min(square, 24), Math.min(rows * 24, 72), Math.max(180, Math.min(420, 0.9 * inner)));
  panel.size = { width: inner, height, cell: [inner / cols, height / rows] };
  const ratio = window.devicePixelRatio || 1, canvas = panel.find('canvas');
  panel.find('.map').style.height = `${height + 2}px`;
  canvas.width = Math.round(inner * ratio);
  canvas.height = Math.round(height * ratio);
}

// One pixel a cell: colour of the size, paler the more of the cell is pruned, background when all is.
function fillBitmap(panel) {
  const { rows, cols, magnitudes, kept } = panel.map, { bitmap } = panel;
  bitmap.width = cols;
  bitmap.height = rows;
  const stops = themeList(panel.root, '--st-chart-sequential-colors');
  const table = Array.from({ length: 256 }, (_, v) => ramp(stops, v / 255));
  const background = hexToRgb(themeValue(panel.root, '--st-background-color'));
  const image = new ImageData(cols, rows), pixels = image.data;
  for (let cell = 0; cell < rows * cols; cell += 1) {
    const colour = table[magnitudes[cell]], share = panel.options.show_mask ? kept[cell] / 255 : 1;
    const weight = share === 0 ? 0 : 0.3 + 0.7 * share;
    for (let part = 0; part < 3; part += 1) {
      pixels[4 * cell + part] = Math.round(background[part] + weight * (colour[part] - background[part]));
    }
    pixels[4 * cell + 3] = 255;
  }
  bitmap.getContext('2d').putImageData(image, 0, 0);
}

const cellSize = ({ size, view }) => size.cell.map((length) => length * view.zoom);

function drawMap(panel) {
  const { size, view, map } = panel, canvas = panel.find('canvas'), context = canvas.getContext('2d');
  const ratio = canvas.width / size.width, [width, height] = cellSize(panel);
  view.x = clamp(view.x, size.width - map.cols * width, 0);
  view.y = clamp(view.y, size.height - map.rows * height, 0);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, size.width, size.height);
  // Averaging only where cells are smaller than pixels; else every cell keeps its exact colour.
  context.imageSmoothingEnabled = Math.min(width, height) * ratio < 1;
  context.imageSmoothingQuality = 'high';
  context.drawImage(panel.bitmap, view.x, view.y, map.cols * width, map.rows * height);
  if (panel.options.show_mask && Math.min(width, height) >= STROKE_FROM) strokePruned(panel, context);
  if (map.tile[0] * map.tile[1] > 1 && Math.min(width, height) >= 3) strokeTiles(panel, context);
  panel.find('.map').classList.toggle('zoomed', view.zoom > 1);
  showCursor(panel);
}

function visibleCells({ size, view, map }, [width, height]) {
  const end = (length, cell, offset, count) => Math.min(count, Math.ceil((length - offset) / cell));
  return { top: Math.floor(-view.y / height), left: Math.floor(-view.x / width),
    bottom: end(size.height, height, view.y, map.rows), right: end(size.width, width, view.x, map.cols) };
}

function strokePruned(panel, context) {
  const { view, map } = panel, [width, height] = cellSize(panel), range = visibleCells(panel, [width, height]);
  context.strokeStyle = themeValue(panel.root, '--st-gray-color');
  context.globalAlpha = 0.55;
  context.beginPath();
  for (let row = range.top; row < range.bottom; row += 1) for (let col = range.left; col < range.right; col += 1) {
    if (map.kept[row * map.cols + col]) continue;
    const x = view.x + col * width, y = view.y + row * height;
    context.moveTo(x + 0.2 * width, y + 0.8 * height);
    context.lineTo(x + 0.8 * width, y + 0.2 * height);
  }
  context.stroke();
  context.globalAlpha = 1;
}

function strokeTiles(panel, context) {
  const { view, map, size } = panel, [width, height] = cellSize(panel), [tall, wide] = map.tile;
  context.strokeStyle = themeValue(panel.root, '--st-background-color');
  context.beginPath();
  for (let row = tall; row < map.rows; row += tall) { context.moveTo(0, view.y + row * height); context.lineTo(size.width, view.y + row * height); }
  for (let col = wide; col < map.cols; col += wide) { context.moveTo(view.x + col * width, 0); context.lineTo(view.x + col * width, size.height); }
  context.stroke();
}

function showCursor(panel) {
  const box = panel.find('.cursor'), { chosen, view } = panel, [width, height] = cellSize(panel);
  box.hidden = !chosen;
  if (!chosen) return;
  Object.assign(box.style, { left: `${view.x + chosen.col * width}px`, top: `${view.y + chosen.row * height}px`,
    width: `${Math.max(3, width)}px`, height: `${Math.max(3, height)}px` });
}

function zoomAt(panel, factor, x, y) {
  const { view } = panel, zoom = clamp(view.zoom * factor, 1, MAX_ZOOM), change = zoom / view.zoom;
  view.x = x - (x - view.x) * change;
  view.y = y - (y - view.y) * change;
  view.zoom = zoom;
  drawMap(panel);
}

function cellAt(panel, event) {
  const area = panel.find('canvas').getBoundingClientRect(), [width, height] = cellSize(panel);
  const row = Math.floor((event.clientY - area.top - panel.view.y) / height);
  const col = Math.floor((event.clientX - area.left - panel.view.x) / width);
  return row >= 0 && col >= 0 && row < panel.map.rows && col < panel.map.cols ? { row, col } : null;
}

function choose(panel, cell, pause) {
  panel.chosen = cell;
  panel.awaited = idsOf(panel.map, cell);
  const { view, size } = panel, [width, height] = cellSize(panel);
  view.x = clamp(view.x, -cell.col * width, size.width - (cell.col + 1) * width);
  view.y = clamp(view.y, -cell.row * height, size.height - (cell.row + 1) * height);
  drawMap(panel);
  panel.find('.said').textContent = describe(panel.map, cell).join(', ');
  clearTimeout(panel.cellTimer);
  panel.cellTimer = setTimeout(() => panel.send.trigger('cell', idsOf(panel.map, cell)), pause);
}

function listenToMap(panel) {
  const box = panel.find('.map');
  let press = null;
  const place = (event) => { const area = panel.find('canvas').getBoundingClientRect(); return [event.clientX - area.left, event.clientY - area.top]; };
  box.addEventListener('wheel', (event) => {
    if (panel.view.zoom === 1 && event.deltaY > 0) return;      // nothing to zoom out of: let the page scroll
    event.preventDefault();
    zoomAt(panel, Math.exp(-event.deltaY * 0.002), ...place(event));
  }, { passive: false });
  box.addEventListener('pointerdown', (event) => {
    press = { x: event.clientX, y: event.clientY, from: { ...panel.view }, moved: false };
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener('pointermove', (event) => {
    if (press) pan(panel, press, event); else hover(panel, event);
  });
  box.addEventListener('pointerup', (event) => {
    const cell = press && !press.moved && cellAt(panel, event);
    press = null;
    box.classList.remove('panning');
    if (cell) choose(panel, cell, 0);
  });
  box.addEventListener('pointercancel', () => { press = null; });
  box.addEventListener('pointerleave', () => panel.tip.hide());
  box.addEventListener('dblclick', () => { panel.view = { zoom: 1, x: 0, y: 0 }; drawMap(panel); });
  box.addEventListener('keydown', (event) => mapKey(panel, event));
}

function pan(panel, press, event) {
  const dx = event.clientX - press.x, dy = event.clientY - press.y;
  press.moved = press.moved || Math.hypot(dx, dy) > SLACK;
  if (!press.moved) return;
  panel.tip.hide();
  panel.find('.map').classList.add('panning');
  panel.view.x = press.from.x + dx;
  panel.view.y = press.from.y + dy;
  drawMap(panel);
}

function hover(panel, event) {
  const cell = cellAt(panel, event);
  if (cell) panel.tip.show(describe(panel.map, cell), event.clientX, event.clientY); else panel.tip.hide();
}

function mapKey(panel, event) {
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }, step = steps[event.key];
  const { map, size } = panel, now = panel.chosen || { row: 0, col: 0 };
  if (step) {
    const next = { row: clamp(now.row + step[0], 0, map.rows - 1), col: clamp(now.col + step[1], 0, map.cols - 1) };
    choose(panel, panel.chosen ? next : now, KEY_PAUSE);
  } else if (event.key === 'Enter') choose(panel, now, 0);
  else if (event.key === '+' || event.key === '=') zoomAt(panel, 1.5, size.width / 2, size.height / 2);
  else if (event.key === '-') zoomAt(panel, 1 / 1.5, size.width / 2, size.height / 2);
  else if (event.key === '0') zoomAt(panel, 1 / MAX_ZOOM, 0, 0);
  else return;
  event.preventDefault();
}

// Cells by their place in the picture and by their original numbers.
const idAt = (ids, index) => (ids && index in ids ? ids[index] : index);

// How many rows (or columns) belong to one input (or output): more than one where whole kernels are drawn.
function runOf(ids) {
  let run = 1;
  while (ids && run < ids.length && ids[run] === ids[0]) run += 1;
  return run;
}

const capital = (word) => word[0].toUpperCase() + word.slice(1);

function idsOf(map, cell) {
  return { row: idAt(map.row_ids, cell.row), col: idAt(map.col_ids, cell.col) };
}

function placeOf(map, ids) {
  if (!ids || ids.row === undefined || ids.col === undefined) return null;
  const row = map.row_ids ? map.row_ids.indexOf(ids.row) : ids.row, col = map.col_ids ? map.col_ids.indexOf(ids.col) : ids.col;
  return row < 0 || col < 0 ? null : { row, col };
}

const sameIds = (one, other) => Boolean(one && other && one.row === other.row && one.col === other.col);

// The cell to outline: the one chosen here until Python has answered it, else that of Python's kernel.
function settle(panel, before, map) {
  const mine = before && panel.chosen ? idsOf(before, panel.chosen) : null;
  if (sameIds(map.kernel, panel.awaited)) panel.awaited = null;
  const wanted = !panel.awaited && map.kernel && map.kernel.row !== undefined ? map.kernel : mine;
  if (sameIds(wanted, mine) && sameIds(mine, idsOf(map, panel.chosen))) return panel.chosen;   // nothing moved
  return placeOf(map, wanted);
}

function nameOf(map, cell) {
  const { row, col } = idsOf(map, cell), [tall, wide] = map.tile;
  const inside = tall * wide > 1 ? `, row ${cell.row % tall}, column ${cell.col % wide}` : '';
  return `${map.aggregated ? 'From ' : ''}${map.aggregated ? map.col_name : capital(map.col_name)} ${col}, ${map.row_name} ${row}${inside}`;
}

function keptText(map, share) {
  if (map.cell_size > 1) return `${Math.round(share * map.cell_size)} of ${map.cell_size} kept`;
  if (share === 0 || share === 1) return share ? 'kept' : 'pruned';
  return `${percent(share)} % kept`;
}

function describe(map, cell) {
  const at = cell.row * map.cols + cell.col;
  const size = Number((map.magnitudes[at] / 255 * map.vmax).toPrecision(2));
  return [nameOf(map, cell), `${map.cell_label} ${size}, ${keptText(map, map.kept[at] / 255)}`];
}

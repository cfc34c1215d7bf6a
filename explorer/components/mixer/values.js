// Values of rows: what a slider may take, how many rows move together, what a figure says.

const rounded = (sparsity) => Math.round(1e4 * sparsity) / 1e4;
const same = (a, b) => Math.abs(a - b) < 5e-5;

// Nearest allowed sparsity of a row. `fine` keeps typed decimals; a drag goes in whole percent.
function snap(row, sparsity, fine = false) {
  const { steps, max_sparsity: most = 0.999 } = row.data;
  if (steps && steps.length) {
    return steps.reduce((best, step) => (Math.abs(step - sparsity) < Math.abs(best - sparsity) ? step : best), steps[0]);
  }
  if (fine) return rounded(clamp(sparsity, 0, most));
  return clamp(Math.round(100 * sparsity), 0, Math.floor(100 * most + 1e-9)) / 100;
}

// One key press: a percent (five with Shift), or one step of a pattern.
function nextStep(row, sparsity, direction, size) {
  const { steps } = row.data;
  if (!steps || !steps.length) return snap(row, (Math.round(100 * sparsity) + direction * size) / 100);
  const further = steps.filter((step) => (direction > 0 ? step > sparsity + 1e-9 : step < sparsity - 1e-9));
  if (!further.length) return snap(row, sparsity);
  return direction > 0 ? Math.min(...further) : Math.max(...further);
}

const movable = (row) => row.data.prunable && !row.locked;
const weightedSparsity = (rows, valueOf = (row) => row.sparsity) => {
  let pruned = 0, all = 0;
  for (const row of rows) {
    if (!row.data.prunable) continue;
    pruned += row.data.n_weights * valueOf(row);
    all += row.data.n_weights;
  }
  return all ? pruned / all : 0;
};

// "In proportion": one factor for all starting values, found so that the weighted mean meets the target although
// some rows reach their end. Rows that all start dense move together.
function proportional(members, startOf, target) {
  const most = (row) => row.data.max_sparsity ?? 0.999;
  if (members.every((row) => startOf(row) === 0)) return () => target;
  const mean = (factor) => weightedSparsity(members, (row) => Math.min(most(row), startOf(row) * factor));
  let low = 0, high = 1;
  while (high < 1e4 && mean(high) < target) high *= 2;
  for (let round = 0; round < 30; round++) {
    const middle = (low + high) / 2;
    if (mean(middle) < target) low = middle; else high = middle;
  }
  return (row) => startOf(row) * high;
}

// "60", "60 %", "12,5" -> fraction; null when it is no number.
function parsePercent(text) {
  const clean = text.replace('%', '').replace(',', '.').trim();
  if (!/^\d*\.?\d+$|^\d+\.$/.test(clean)) return null;
  return Number(clean) / 100;
}
const percentText = (sparsity) => `${percent(sparsity)} %`;

// Nearer to the tolerance than a third of its half interval: nobody can say on which side it is.
function levelOf(value, half, tolerance) {
  if (half != null && Math.abs(value + tolerance) < half / 3) return 'undecided';
  return value < -tolerance ? 'above' : 'within';
}

// What a row shows as its drop: Python's figure while the row is as Python knows it, else the curve's estimate.
function shownDrop(row, tolerance) {
  const { data } = row;
  if (row.sparsity === 0 && data.drop.state !== 'failed') return { state: 'dense', level: 'within' };
  const sameMask = row.granularity === data.granularity && row.criterion === data.criterion;
  if (sameMask && same(row.sparsity, data.sparsity) && !row.moving) {
    const { drop } = data;
    if (drop.value == null || ['none', 'failed', 'dense'].includes(drop.state)) return { ...drop, level: 'within' };
    const level = { undecided: 'undecided', above: 'above', measured: 'within' }[drop.state]
      || levelOf(drop.value, drop.half, tolerance);
    return { ...drop, level };
  }
  if (!sameMask || !data.curve) return { state: 'none', text: 'not measured', level: 'within' };
  const estimate = dropAt(data.curve, row.sparsity);
  return { state: 'est', ...estimate, level: levelOf(estimate.value, estimate.half, tolerance) };
}

// Stages of a long model from the common prefix of the names: [{name, rows}], name null for rows of their own.
// A prefix that holds nearly all rows ("model.layers") says nothing, so it is made longer.
function stagesOf(rows) {
  const depthFor = (members, depth) => {
    const groups = new Map();
    for (const row of members) {
      const prefix = row.name.split('.').slice(0, depth).join('.');
      groups.set(prefix, (groups.get(prefix) || []).concat([row]));
    }
    const [largest] = [...groups.values()].sort((a, b) => b.length - a.length);
    const deeper = Math.max(...members.map((row) => row.name.split('.').length)) > depth + 1;
    if (largest.length > 0.8 * rows.length && deeper) return depthFor(largest, depth + 1);
    return depth;
  };
  const depth = depthFor(rows, 1);
  const stages = [];
  for (const row of rows) {
    const parts = row.name.split('.');
    const name = parts.length > depth ? parts.slice(0, depth).join('.') : null;
    const last = stages[stages.length - 1];
    if (last && last.name === name) last.rows.push(row); else stages.push({ name, rows: [row] });
  }
  return stages.map((stage) => (stage.rows.length < 2 ? { ...stage, name: null } : stage));
}

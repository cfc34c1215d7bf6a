// The sensitivity curve of a row. It shares the slider's axis (0 to 100 %) and runs from 0 down to four times the
// tolerance in every row, so that rows compare.
const CURVE_HEIGHT = 22;
const curveY = (drop, tolerance) => 1 + (CURVE_HEIGHT - 1) * -drop / (4 * tolerance);
const coordinate = (number) => Math.round(100 * number) / 100;

const interpolate = (values, k, part) => values[k - 1] + part * (values[k] - values[k - 1]);

// Drop at a sparsity, with half of its interval; past the last level the last slope goes on, but never upwards.
function dropAt(curve, sparsity) {
  const { levels, drops, low, high } = curve;
  const last = levels.length - 1;
  if (last < 1) return { value: drops[0] ?? 0, half: null };
  let k = levels.findIndex((level) => level >= sparsity);
  if (k < 0) k = last;
  k = Math.max(1, k);
  const part = (sparsity - levels[k - 1]) / (levels[k] - levels[k - 1]);
  let value = interpolate(drops, k, part);
  if (part > 1) value = Math.min(value, drops[last]);
  const inside = Math.min(part, 1);
  const half = low && high ? Math.abs(interpolate(high, k, inside) - interpolate(low, k, inside)) / 2 : null;
  return { value, half };
}

// Sparsity at which the curve first crosses the tolerance; 1 when it never does.
function largestWithin(curve, tolerance) {
  const { levels, drops } = curve;
  for (let k = 1; k < levels.length; k++) {
    if (drops[k] >= -tolerance) continue;
    const part = (-tolerance - drops[k - 1]) / (drops[k] - drops[k - 1]);
    return levels[k - 1] + clamp(part, 0, 1) * (levels[k] - levels[k - 1]);
  }
  return 1;
}

// Cut a polyline at height `y`: pieces above it keep the text colour, pieces below are grey or orange.
function splitAt(points, y) {
  const pieces = { above: '', below: '' };
  for (let k = 1; k < points.length; k++) {
    let [start, end] = [points[k - 1], points[k]];
    const add = (from, to) => {
      const side = (from[1] + to[1]) / 2 <= y ? 'above' : 'below';
      pieces[side] += `M${from.map(coordinate).join(' ')}L${to.map(coordinate).join(' ')}`;
    };
    if ((start[1] <= y) === (end[1] <= y)) { add(start, end); continue; }
    const part = (y - start[1]) / (end[1] - start[1]);
    const crossing = [start[0] + part * (end[0] - start[0]), y];
    add(start, crossing);
    add(crossing, end);
  }
  return pieces;
}

function bandPath(curve, tolerance) {
  const point = (k, values) => `${coordinate(100 * curve.levels[k])} ${coordinate(curveY(values[k], tolerance))}`;
  const indices = curve.levels.map((_, k) => k);
  const there = indices.map((k) => point(k, curve.high));
  const back = indices.reverse().map((k) => point(k, curve.low));
  return `M${there.concat(back).join('L')}Z`;
}

// The svg's overflow is hidden, so a curve is cut at the plot's edge instead of running along the floor.
function curveSvg(curve, tolerance) {
  const limit = coordinate(curveY(-tolerance, tolerance));
  const points = curve.levels.map((level, k) => [100 * level, curveY(curve.drops[k], tolerance)]);
  const pieces = splitAt(points, limit);
  const band = curve.preview || !curve.low || !curve.high ? '' : `<path class="band" d="${bandPath(curve, tolerance)}"/>`;
  return `<svg class="plot${curve.preview ? ' preview' : ''}" viewBox="0 0 100 ${CURVE_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">`
    + `${band}<path class="limit" d="M0 ${limit}H100"/><path class="below" d="${pieces.below}"/><path class="above" d="${pieces.above}"/></svg>`;
}

const sameNumbers = (a, b) => a === b || (!!a && !!b && a.length === b.length && a.every((value, k) => value === b[k]));
const sameCurve = (a, b) => a === b || (!!a && !!b && a.preview === b.preview
  && ['levels', 'drops', 'low', 'high'].every((key) => sameNumbers(a[key], b[key])));

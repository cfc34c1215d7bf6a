// Rails: which layers lose the same channels. A letter on each member and a line between them, solid where the wish
// binds now. Lines stand in model order only; in any other order the letters alone say it.

const LANES = [18, 27, 9]; // px from the cell's left edge; groups that overlap stand beside each other

const isKin = (row, other) => Boolean(row.data?.group && other.data?.group && row.data.group.letter === other.data.group.letter);
const bound = (row) => Boolean(row.data?.group?.active);

// The rows that move with `rows`: all members of the groups that bind now.
function withKin(mixer, rows) {
  const leaders = rows.filter(bound);
  return mixer.rows.filter((row) => rows.includes(row) || (bound(row) && leaders.some((leader) => isKin(row, leader))));
}

// Spans of the groups among the rows shown, each with a lane that is free over its length; null: no lane left.
function spansOf(shown) {
  const spans = new Map();
  shown.forEach((row, k) => {
    const { group } = row.data;
    if (!group) return;
    const span = spans.get(group.letter) || { letter: group.letter, first: k, last: k, active: false };
    spans.set(group.letter, Object.assign(span, { last: k, active: span.active || group.active }));
  });
  const ends = LANES.map(() => -1);
  for (const span of spans.values()) {
    const lane = ends.findIndex((end) => end < span.first);
    span.lane = lane < 0 ? null : lane;
    if (lane >= 0) ends[lane] = span.last;
  }
  return [...spans.values()];
}

function paintRails(mixer) {
  const spans = spansOf(mixer.shown);
  const inOrder = mixer.sort === 'model';
  mixer.shown.forEach((row, k) => {
    const here = spans.filter((span) => k >= span.first && k <= span.last && span.lane != null);
    const lines = inOrder ? here.map((span) => lineHtml(span, row, k)).join('') : '';
    patch(row, 'rail', lines + badgeHtml(row, spans), (html) => { row.parts.rail.innerHTML = html; });
  });
}

function lineHtml(span, row, k) {
  if (span.first === span.last) return '';
  const part = k === span.first ? 'down' : k === span.last ? 'up' : '';
  return `<i class="line ${part} ${span.active ? 'on' : ''}" style="left: ${LANES[span.lane]}px"></i>`;
}

function badgeHtml(row, spans) {
  const { group } = row.data;
  if (!group) return '';
  const lane = spans.find((span) => span.letter === group.letter).lane ?? 0;
  return `<span class="badge ${group.active ? 'on' : ''}" style="left: ${LANES[lane]}px"${tip(group.tip)}>${escapeHtml(group.letter)}</span>`;
}

// The pointer over a bound row marks all that move with it.
function watchKin(mixer) {
  const mark = (row) => {
    if (row === mixer.kinOf) return;
    mixer.kinOf = row;
    const kin = row && bound(row) && !mixer.drag ? withKin(mixer, [row]) : [];
    for (const other of mixer.rows) {
      const on = kin.includes(other);
      if (Boolean(other.kin) !== on) { other.kin = on; mixer.schedule(other); }
    }
  };
  mixer.body.addEventListener('pointerover', (event) => mark(mixer.itemByElement.get(event.target.closest('.rw')) || null));
  mixer.body.addEventListener('pointerleave', () => mark(null));
}

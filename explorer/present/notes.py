"""The one line under the mixer that needs doing: a refusal, a layer above tolerance, or what a reader of plans sees."""

from functools import lru_cache
from typing import Any

import pruning_core as pc
from explorer.figures import words
from explorer.present.rows import Row, curve_and_cells
from explorer.state import ExplorerState
from pruning_core.lint import Finding, lint
from pruning_core.plan import Plan
from pruning_core.sensitivity import largest_within

Note = dict[str, Any]


def note(bench: pc.Workbench, state: ExplorerState, rows: list[Row]) -> Note | None:
    """Return the line, or None where nothing needs doing."""
    if state.notice:
        return {"text_parts": [{"text": state.notice}], "actions": []}
    return _above_tolerance(bench, state, rows) or _advice(bench, state)


def _above_tolerance(bench: pc.Workbench, state: ExplorerState, rows: list[Row]) -> Note | None:
    above = [row for row in rows if row["prunable"] and row["curve"] and (row["drop"]["value"] or 0) < -state.tolerance]
    if not above:
        return None
    worst = min(above, key=lambda row: row["drop"]["value"])
    name, cost = worst["name"], worst["drop"]["value"]
    _, cells = curve_and_cells(bench, state, name)
    limit = largest_within(cells, state.tolerance / 100, worst["steps"])
    limit = limit if worst["steps"] else int(100 * limit + 1e-9) / 100
    over = f"{words.rounded(-cost - state.tolerance)} pt above tolerance."
    rest = f" alone costs {words.rounded(cost)} pt; it stays within tolerance up to {words.percent(limit, 0)}."
    use = {"kind": "edit", "changes": {name: {"sparsity": limit}}}
    return {
        "text_parts": [{"text": over, "bold": True}, {"text": " "}, {"text": name, "mono": True}, {"text": rest}],
        "actions": [_show(name), {"label": f"Use {words.percent(limit, 0)}", "command": use}],
    }


def _advice(bench: pc.Workbench, state: ExplorerState) -> Note | None:
    """Return the first finding that the user has not put aside; only once the plan is measured, for reading it costs
    as much as a chunk of examples."""
    if bench.dataset is not None and not (bench.started and bench.estimate().done):
        return None
    ignored = {tuple(each) for each in state.view.get("ignored", ())}
    found = [
        each for each in _findings(bench.reference, state.plan.to_json()) if (each.rule, each.layer) not in ignored
    ]
    if not found:
        return None
    first = found[0]
    text = f": {first.sentence}. Would help: {first.fix}."
    more = f" {words.plural(len(found) - 1, 'more note')}." if len(found) > 1 else ""
    actions = [_show(first.layer)]
    if first.changes:
        actions.append({"label": "Mend", "command": {"kind": "edit", "changes": first.changes}})
    actions.append({"label": "Ignore", "command": {"kind": "ignore", "finding": [first.rule, first.layer]}})
    return {
        "tone": "info",
        "text_parts": [{"text": first.layer, "mono": True}, {"text": text + more}],
        "actions": actions,
    }


@lru_cache(maxsize=64)
def _findings(reference: pc.Reference, plan: str) -> tuple[Finding, ...]:
    return lint(reference.model, Plan.from_json(plan), reference.ranking)


def _show(layer: str) -> dict[str, Any]:
    return {"label": "Show layer", "command": {"kind": "select", "layer": layer}}

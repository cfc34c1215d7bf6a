"""`Edited`: the constants of the replay that a plan makes different, brought up to date edit by edit."""

from collections.abc import Iterable

import torch
from torch import Tensor

from pruning_core.apply import changes_for, rows_of, summed, together
from pruning_core.plan import Plan
from pruning_core.ranking import Change, Ranking
from pruning_core.sensitivity.replay import Replay


class Edited:
    """What the plan that was taken last changes in `replay`; only rows that an edit touches are made anew."""

    def __init__(self, replay: Replay, ranking: Ranking) -> None:
        self.replay, self.ranking = replay, ranking
        self.constants: dict[int, Tensor] = {}  # those that the plan makes different
        self.position = 0  # of the earliest node that the last edit changed
        self._asked: dict[str, tuple[object, Change]] = {}  # layer -> what was asked, what that changes
        self._weights: dict[str, Tensor] = {}  # layer -> its weight as the replay wants it

    def take(self, plan: Plan) -> bool:
        """Make what `plan` changes; returns whether anything had to be made."""
        asked = self._wishes(plan)
        touched = [n for n in asked.keys() | self._asked.keys() if self._asked.get(n, (None,))[0] != asked.get(n)]
        if not touched:
            return False
        before = [self._asked[name][1] for name in touched if name in self._asked]
        changes = self._changes(plan, [name for name in touched if name in asked])
        self._asked = {name: kept for name, kept in self._asked.items() if name not in touched}
        self._asked |= {name: (asked[name], change) for name, change in changes.items()}
        self._prepare({name for change in (*before, *changes.values()) for name in (*change.masks, *change.values)})
        return True

    def _wishes(self, plan: Plan) -> dict[str, object]:
        """Return for each pruned row what its masks depend on: its wish, or all of them when layers compete."""
        wishes = {name: wish for name, wish in plan.layers.items() if wish.sparsity > 0}
        if plan.scope == "layer":
            return dict(rows_of(wishes, self.ranking))
        return dict.fromkeys(wishes, plan.model_dump_json())

    def _changes(self, plan: Plan, names: list[str]) -> dict[str, Change]:
        """Return what the wishes for layers `names` change; in scope "model" all of it belongs to the first of them."""
        if plan.scope == "layer":
            return {name: self.ranking.change(name, plan.layers[name]) for name in names}
        whole = changes_for(self.ranking.model, plan, ranking=self.ranking)
        return {name: whole if name == names[0] else Change() for name in names}

    def _prepare(self, names: set[str]) -> None:
        """Make the constants of layers and parameters `names` anew, from all that the plan asks of them."""
        model, old = self.ranking.model, self.constants
        masks = together(change.masks for _, change in self._asked.values())
        removed = frozenset[int]().union(*(change.removed for _, change in self._asked.values()))
        values = summed(model, [change.values for _, change in self._asked.values()])
        values |= model.rows.values_without(removed)  # what is skipped is skipped
        layers = [name for name in dict.fromkeys([*masks, *values]) if name in model.graph.by_name]
        fresh = {name for name in layers if name in names or name not in self._weights}
        self._weights = {
            name: self.replay.weight(name, masks.get(name), values.get(name)) if name in fresh else self._weights[name]
            for name in layers
        }
        self.constants = self.replay.changed(Change(masks, values, removed), self._weights)
        self.position = self.replay.position_of(_different(old, self.constants))


def _different(old: dict[int, Tensor], new: dict[int, Tensor]) -> Iterable[int]:
    return [i for i in old.keys() | new.keys() if not _equal(old.get(i), new.get(i))]


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b or (a is not None and b is not None and torch.equal(a, b))

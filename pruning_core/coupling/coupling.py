"""Which channels live or die together, found from the traced graph alone: no rule knows a model.

The graph is run a second time on labels that say which channel controls each element. Weights give fresh labels, data
movement carries them, operands that meet unite them; every root of the union-find is one removable group.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, fx

from pruning_core.coupling.context import Context, Options
from pruning_core.coupling.labels import IntArray, stored
from pruning_core.coupling.passes import Part, working_copy
from pruning_core.coupling.propagate import propagate
from pruning_core.coupling.remains import Lines, Remains
from pruning_core.coupling.settle import settle
from pruning_core.coupling.stored import StoredTensors
from pruning_core.coupling.table import distinct_boxes, outputs_of, statistics_of, table_of
from pruning_core.errors import CannotRemove
from pruning_core.graph import ModelGraph


@dataclass(frozen=True, eq=False)
class Coupling:
    """The groups of a graph. A group is named by its number; `removed` is an array of such numbers."""

    options: Options
    module: fx.GraphModule  # working copy: shuffles as index_select, packed weights in parts; shares tensors
    values: dict[fx.Node, Any]  # labels of the value at batch 2 (int64, 0 = no channel), number, or tuple of these
    roots: dict[tuple[str, int], IntArray]  # (original tensor, stored dimension) -> group of each index, 0 = none
    outputs: dict[str, IntArray]  # weight -> group of each output of the whole layer, 0 = none
    why_not: dict[int, str]  # group -> one sentence why it must stay; absent = prunable
    heads: frozenset[int]  # groups that are attention heads
    unknown: dict[str, int]  # "aten.x: reason" -> how often labels reached it
    statistics: dict[fx.Node, tuple[int, ...]]  # norms whose statistic runs over dimensions that may shrink
    parts: dict[str, Part]  # tensors of `module` that are runs of a packed parameter of the model
    remains: Remains = field(repr=False)  # what stays of values and stored tensors

    @property
    def original(self) -> fx.GraphModule:
        """The graph of the model as traced."""
        return self.remains.tensors.original

    def prunable(self) -> IntArray:
        """Return all groups that may be removed."""
        found = np.unique(np.concatenate([*self.roots.values(), np.zeros(1, dtype=np.int64)]))
        return found[~np.isin(found, [0, *self.why_not])]

    def alive(self, labels: Tensor, removed: IntArray) -> Lines:
        """Return what stays of a value: one bool vector per dimension; their product is the living elements."""
        return self.remains.of_value(labels, removed)

    def stored_lines(self, removed: IntArray) -> dict[str, Lines]:
        """Return what stays of each tensor of `module` that loses something, by its one name there."""
        self._check(removed)
        return self.remains.of_tensors(removed)

    def lines(self, removed: IntArray) -> dict[str, Lines]:
        """Return what stays of each parameter and buffer of the model that loses something, per stored dimension."""
        self._check(removed)
        return self.remains.of_parameters(removed)

    def _check(self, removed: IntArray) -> None:
        for group in np.asarray(removed).tolist():
            if not self.remains.has(group):
                raise CannotRemove(f"there is no group {group}; the numbers in `roots` name groups")
            if group in self.why_not:
                raise CannotRemove(f"group {group} must stay: {self.why_not[group]}")
        self.remains.check_boxes(removed)


def couple(graph: ModelGraph, options: Options | None = None) -> Coupling:
    """Find the groups of `graph`; the graph and its tensors are not changed."""
    options = options or Options()
    module, parts = working_copy(graph.module)
    tensors = StoredTensors(module, graph, parts)
    ctx = Context(tensors, options)
    propagate(ctx, module)
    settle(ctx)
    labels = ctx.labels
    labels.parent = labels.find(np.arange(len(labels.parent)))  # flat: one look-up from now on
    table = table_of(ctx)
    why_not = labels.reasons()
    for (name, dim), roots in table.items():
        if len(roots) and roots[0] and (roots == roots[0]).all():
            why_not.setdefault(int(roots[0]), f"it is all of dimension {dim} of '{name}': nothing would be left")
    wanted = labels.distinct(np.concatenate([np.zeros(1, dtype=np.int64), *table.values()]))
    heads = {int(root) for side in ctx.heads for root in labels.distinct(stored(ctx.roots(side)).numpy())}
    return Coupling(
        options=options,
        module=module,
        values=ctx.values,
        roots=table,
        outputs=outputs_of(ctx, graph, table),
        why_not={group: why_not[group] for group in wanted.tolist() if group in why_not},
        heads=frozenset(heads & set(wanted.tolist())),
        unknown=ctx.unknown_operators,
        statistics=statistics_of(ctx),
        parts=parts,
        remains=Remains(labels, tensors, distinct_boxes(ctx)),
    )

"""Recurrent layers: hidden unit j is row j of every gate, column j of the recurrent weight and output j.

One operator holds all layers and directions, and its state is one tensor (layers, batch, hidden): unit j goes from all
of them together. Hochreiter and Schmidhuber 1997; Cho et al. 2014 (GRU), arXiv:1406.1078.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, fx

from pruning_core.coupling.labels import varying_dims
from pruning_core.coupling.rules.table import argument, rule

if TYPE_CHECKING:
    from pruning_core.coupling.context import Context

_CREATED = ("aten.zeros.", "aten.ones.", "aten.full.", "aten.new_zeros.", "aten.empty.")


@rule("lstm.input", weights=(2,))
def lstm(ctx: Context, node: fx.Node, x: Tensor, states: Sequence[Tensor], *args: Any) -> Any:
    """Outputs, last hidden state, last cell state; with a projection the hidden state has units of its own."""
    hidden, cell = _recurrent(ctx, node, x, 4)
    if hidden is None or cell is None:
        return ctx.unknown(node, "its weights are computed, not stored")
    sources: Sequence[Any] = node.args[1]  # type: ignore[assignment]
    first = _state(ctx, node, sources[0], states[0], hidden)
    return _sequence(ctx, node, hidden), first, _state(ctx, node, sources[1], states[1], cell)


@rule("gru.input", "rnn_tanh.input", "rnn_relu.input", weights=(2,))
def gru(ctx: Context, node: fx.Node, x: Tensor, state: Tensor, *args: Any) -> Any:
    """Outputs and last hidden state."""
    hidden, _ = _recurrent(ctx, node, x, 3 if "gru" in str(node.target) else 1)
    if hidden is None:
        return ctx.unknown(node, "its weights are computed, not stored")
    return _sequence(ctx, node, hidden), _state(ctx, node, node.args[1], state, hidden)


def _recurrent(ctx: Context, node: fx.Node, x: Tensor, gates: int) -> tuple[Tensor | None, Tensor | None]:
    """Couple the weights of all layers and directions; return the labels of hidden state and cell (hidden size,)."""
    given = node.args[2]
    weights = [w for w in given if isinstance(w, fx.Node) and ctx.is_weight(w)]  # type: ignore[union-attr]
    directions = 2 if argument(ctx, node, "bidirectional") else 1
    cells = int(argument(ctx, node, "num_layers")) * directions
    per_cell = len(weights) // cells
    if len(weights) != len(given) or per_cell * cells != len(weights):  # type: ignore[arg-type]
        return None, None
    hidden = cell = None
    for start in range(0, len(weights), per_cell):
        own = weights[start : start + per_cell]
        projection = own[-1] if per_cell in (3, 5) else None
        vectors = own[2:4] if per_cell >= 4 else []
        cell = ctx.slots(own[0], 0).reshape(gates, -1)[0] if cell is None else cell
        for rows in (ctx.slots(tensor, 0).reshape(gates, -1) for tensor in (own[0], own[1], *vectors)):
            ctx.unite(rows, cell.expand(rows.shape), node)
        if projection is None:
            hidden = cell
        else:
            hidden = ctx.slots(projection, 0) if hidden is None else hidden
            ctx.unite(ctx.slots(projection, 0), hidden, node)
            ctx.unite(ctx.slots(projection, 1), cell, node)
        ctx.unite(ctx.slots(own[1], 1), hidden, node)
        layer = start // per_cell // directions
        entering = x if layer == 0 else hidden.repeat(directions)
        ctx.unite(entering, ctx.slots(own[0], 1), node)
    ctx.must_stay_constant(node, x, range(x.dim() - 1))
    return hidden, cell


def _sequence(ctx: Context, node: fx.Node, hidden: Tensor) -> Tensor:
    shape = ctx.shape(node)
    return hidden.repeat(shape[-1] // len(hidden)).expand(shape)


def _state(ctx: Context, node: fx.Node, source: Any, state: Tensor, units: Tensor) -> Tensor:
    """Couple an initial state; zeros made on the way get the labels, so that their size can follow."""
    if isinstance(source, fx.Node) and str(source.target).startswith(_CREATED) and not varying_dims(ctx.roots(state)):
        ctx.values[source] = units.expand(state.shape)
    else:
        ctx.unite(state, units, node)
    return units.expand(state.shape)

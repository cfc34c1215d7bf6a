"""`Rows`: a layer of which whole rows are zeroed is not run again.

Its dense output stands, but in the channels of these rows, which are the bias. So the fork begins behind the layer,
with that output in the place of the changed weight.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.layers import operator
from pruning_core.sensitivity.constants import Changed
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.steps import Values

_CHANNELS = {"aten.linear.default": -1, **{f"aten.conv{d}d.{v}": 1 for d in (1, 2, 3) for v in ("default", "padding")}}


@dataclass(frozen=True)
class _Layer:
    """A step whose weight and bias nothing else reads."""

    step: int
    x: int
    weight: int
    bias: int | None
    channels: int  # dimension of its output


class Rows:
    """Finds such layers in the graph of a replay."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        readers: dict[int, list[int]] = {}
        for i, step in replay.steps.items():
            for j in step.inputs:
                readers.setdefault(j, []).append(i)
        self._layers: dict[int, _Layer] = {}
        for i, step in replay.steps.items():
            channels, own = _CHANNELS.get(operator(replay.nodes[i])), step.inputs[1:]
            if channels is not None and 1 <= len(own) <= 2 and all(readers[j] == [i] for j in own):
                self._layers[own[0]] = _Layer(i, step.inputs[0], own[0], own[1] if own[1:] else None, channels)

    def reduce(self, frontier: Frontier, changed: Values) -> Values:
        """Return `changed` with outputs in the place of the weights of which rows are zeroed, where that is known.

        Dense outputs are computed into `frontier`, which needs them next anyway.
        """
        if not isinstance(changed, Changed) or not changed.dead:
            return changed
        below, found = set(self.replay.route(changed).steps), dict(changed)
        for weight, dead in changed.dead.items():
            layer = self._layers.get(weight)
            if layer is None or layer.x in below or layer.x in changed or layer.x not in frontier.values:
                continue
            bias = self._bias(layer, dead, changed)
            if bias is not None:
                found[layer.step] = _with_rows(self._dense(frontier, layer), dead, bias, layer.channels)
                del found[weight]
                found.pop(-1 if layer.bias is None else layer.bias, None)
        return found

    def _bias(self, layer: _Layer, dead: Tensor, changed: Values) -> Tensor | None:
        """Return what the channels of dead rows are (out,), or None where the bias of other rows changes too."""
        if layer.bias is None:
            return torch.zeros(len(dead))
        old: Tensor = self.replay.constants[layer.bias]
        new: Tensor = changed.get(layer.bias, old)
        return new if torch.equal(new[~dead], old[~dead]) else None

    def _dense(self, frontier: Frontier, layer: _Layer) -> Tensor:
        if layer.step not in frontier.values:
            step = self.replay.steps[layer.step]
            frontier.values[layer.step] = step.run({**self.replay.constants, **frontier.values})
        dense: Tensor = frontier.values[layer.step]
        return dense


def _with_rows(dense: Tensor, dead: Tensor, bias: Tensor, channels: int) -> Tensor:
    """Return a layer's output (batch, ...) with the channels of `dead` rows at `bias`."""
    shape = [1] * dense.dim()
    shape[channels] = len(dead)
    return torch.where(dead.view(shape), bias.to(dense.dtype).view(shape), dense)

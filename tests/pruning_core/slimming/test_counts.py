"""Counts of the slimmed model without building it: by hand, and as the built graph has them."""

import numpy as np
import pytest
import torch
from torch import nn

import pruning_core as pc
from pruning_core.errors import CannotRemove
from pruning_core.graph import shapes_and_macs
from pruning_core.model import Model
from pruning_core.slimming import Counts, counts_of, slim_graph, slimmed_counts
from pruning_core.slimming.slim import bytes_of, params_of
from tests.pruning_core.coupling.nets import NETS, Net
from tests.pruning_core.slimming.equal import THROUGH_NORMS, coupled, groups_of
from tests.removals import random_groups

IMAGE = torch.randn(2, 3, 8, 8)


@pytest.mark.parametrize("options", [None, THROUGH_NORMS], ids=["norms stay", "through norms"])
@pytest.mark.parametrize("name", list(NETS))
def test_counts_are_those_of_the_graph_that_is_built(name: str, options: pc.coupling.Options | None) -> None:
    net, shapes = NETS[name]
    inputs = tuple(torch.randn(2, *shape) for shape in shapes)
    coupling = coupled(net, *inputs, options=options)
    removed = random_groups(coupling, 0.5, seed=2)
    graph = slim_graph(coupling, removed)
    macs = sum(shapes_and_macs(graph, inputs)[1].values())
    assert counts_of(coupling, removed) == Counts(params_of(graph), macs, bytes_of(graph))


def test_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(512, 10))
    coupling = coupled(net, IMAGE)
    params = 6 * 27 + 6 + 2 * 6 + 10 * 6 * 64 + 10
    statistics = 2 * 6
    found = counts_of(coupling, groups_of(coupling, "0.weight", 1, 2))
    assert found == Counts(params, 6 * 27 * 64 + 10 * 6 * 64, 4 * (params + statistics))


def test_channels_taken_by_an_index_count_their_positions() -> None:
    net = Net(lambda m, x: m.b(m.a(x)[:, ::2]), a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(4, 5, 1))
    coupling = coupled(net, IMAGE)
    removed = groups_of(coupling, "a.weight", 2)  # the second of those taken
    params = 7 * 3 + 7 + 5 * 3 + 5
    assert counts_of(coupling, removed) == Counts(params, 64 * (7 * 3 + 5 * 3), 4 * params + 8 * 3)


def test_tied_weights_count_once() -> None:
    first, second = nn.Linear(6, 6), nn.Linear(6, 6)
    second.weight = first.weight
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 6), first, second)
    coupling = coupled(net, torch.randn(2, 6))
    params = 6 * 3 + 3 + 3 * 6 + 6 + 36 + 6 + 6
    found = counts_of(coupling, groups_of(coupling, "0.weight", 0))
    assert (found.params, found.size_bytes) == (params, 4 * params)


def test_what_must_stay_has_no_counts() -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    model = Model("net", net, (torch.randn(2, 6),))
    output = model.coupling.roots["2.weight", 0][:1]
    with pytest.raises(CannotRemove, match="they reach the model output"):
        counts_of(model.coupling, output)
    assert slimmed_counts(model.coupling, output.tolist()) is None
    assert slimmed_counts(model.coupling, []) is None
    assert slimmed_counts(model.coupling, np.unique(model.coupling.roots["0.weight", 0])[:1].tolist()) is not None

"""What stays is always a box with something left, or the removal is refused."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import pruning_core.errors as errors
from pruning_core.coupling import CannotRemove, Coupling, Options, couple
from pruning_core.coupling.rules import RULES
from pruning_core.layers import tensor_at
from tests.pruning_core.coupling.nets import NETS, Net, coupled, traced_once

OPTIONS = (Options(), Options(through_norms=True), Options(heads="dimension"))


@cache
def of_net(name: str, option: int) -> Coupling:
    return couple(traced_once(name), OPTIONS[option])


def group_of(coupling: Coupling, name: str, dim: int, *indices: int) -> np.ndarray:
    return np.unique(coupling.roots[name, dim][list(indices)])


@pytest.mark.parametrize("name", NETS)
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_lines_are_boxes_with_something_left_or_refused(name: str, data: st.DataObject):
    coupling = of_net(name, data.draw(st.integers(0, len(OPTIONS) - 1)))
    prunable = coupling.prunable()
    removed = np.array(
        sorted(data.draw(st.sets(st.sampled_from(prunable.tolist())) if len(prunable) else st.just(set()))), int
    )
    try:
        lines = coupling.lines(removed)
    except CannotRemove:
        families = {}
        for root in prunable.tolist():
            key = frozenset(slot for slot, roots in coupling.roots.items() if root in roots)
            families.setdefault(key, set()).add(root)
        assert any(family <= set(removed.tolist()) for family in families.values())  # a whole family was asked for
        return
    assert bool(len(removed)) == bool(lines)
    for tensor, vectors in lines.items():
        shape = tensor_at(coupling.original, tensor).shape
        assert tuple(len(line) for line in vectors) == tuple(shape)
        assert all(line.any() for line in vectors)
        assert not all(line.all() for line in vectors)
        for dim, line in enumerate(vectors):
            roots = coupling.roots.get((tensor, dim), np.zeros(len(line), int))
            assert torch.equal(line, torch.from_numpy(~np.isin(roots, removed)))
    for value in coupling.values.values():
        for labels in value if isinstance(value, tuple) else (value,):
            if isinstance(labels, torch.Tensor):
                assert tuple(len(line) for line in coupling.alive(labels, removed)) == tuple(labels.shape)


def test_lines_name_every_tensor_that_loses_something():
    coupling = coupled(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)), (3, 8, 8))
    lines = coupling.lines(group_of(coupling, "0.weight", 0, 1, 3))
    kept = [True, False, True, False]
    vectors = {f"1.{name}" for name in ("weight", "bias", "running_mean", "running_var")}
    assert set(lines) == {"0.weight", "0.bias", "2.weight"} | vectors
    assert lines["0.weight"][0].tolist() == kept
    assert lines["2.weight"][1].tolist() == kept
    assert lines["2.weight"][0].all()


def test_a_packed_parameter_is_joined_from_its_parts():
    net, shapes = NETS["multihead"]
    coupling = coupled(net, *shapes)
    removed = group_of(coupling, "mha.in_proj_weight", 0, 0)
    packed = [not (i % 12) < 3 for i in range(36)]
    assert coupling.lines(removed)["mha.in_proj_weight"][0].tolist() == packed
    assert coupling.lines(removed)["mha.in_proj_bias"][0].tolist() == packed
    parts = coupling.stored_lines(removed)
    assert [parts[f"mha.in_proj_weight_part{i}"][0].tolist() for i in range(3)] == [packed[:12]] * 3


def test_removing_a_whole_dimension_is_refused():
    coupling = coupled(nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3)), (7, 5))
    with pytest.raises(CannotRemove, match=r"nothing would be left of .*; keep at least one"):
        coupling.lines(coupling.prunable())


def test_an_emptied_slice_of_a_value_is_refused():
    net = Net(
        lambda m, x: m.b(m.a(x)[:, :, :2]) + m.c(m.a(x)[:, :, 2:]),
        a=nn.Linear(5, 6), b=nn.Linear(2, 3), c=nn.Linear(4, 3),
    )  # fmt: skip
    coupling = coupled(net, (7, 5))
    with pytest.raises(CannotRemove, match=r"nothing would be left of the result of aten\.slice"):
        coupling.lines(group_of(coupling, "a.weight", 0, 0, 1))


def test_a_group_that_must_stay_is_refused_with_its_reason():
    coupling = coupled(nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3)), (7, 5))
    with pytest.raises(CannotRemove, match="must stay: they reach the model output"):
        coupling.lines(group_of(coupling, "1.weight", 0, 0))


def test_a_number_that_is_no_group_is_refused():
    coupling = coupled(nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3)), (7, 5))
    with pytest.raises(CannotRemove, match="there is no group 999"):
        coupling.lines(np.array([999]))


def test_elements_that_are_no_box_are_refused():
    coupling = coupled(nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3)), (7, 5))
    numbers = torch.from_numpy(coupling.roots["0.weight", 0].copy()).reshape(2, 2)
    with pytest.raises(CannotRemove, match="would not stay rectangular"):
        coupling.alive(numbers, group_of(coupling, "0.weight", 0, 0))


def test_nothing_of_the_graph_is_changed():
    net, shapes = NETS["multihead"]
    coupling = coupled(net, *shapes)
    assert "part" not in str(coupling.original.graph)
    assert "part" in str(coupling.module.graph)
    inputs = torch.randn(3, *shapes[0])
    with torch.no_grad():
        torch.testing.assert_close(coupling.module(inputs), coupling.original(inputs))
    shared = {id(parameter) for parameter in coupling.original.parameters()}
    assert all(id(p) in shared for n, p in coupling.module.named_parameters() if n not in coupling.parts)
    packed = coupling.original.get_parameter("mha.in_proj_weight").untyped_storage().data_ptr()
    assert coupling.module.get_parameter("mha.in_proj_weight_part2").untyped_storage().data_ptr() == packed


def test_the_working_copy_of_a_shuffle_computes_the_same():
    net, shapes = NETS["shuffle"]
    coupling = coupled(net, *shapes)
    assert any("index_select" in str(node.target) for node in coupling.module.graph.nodes)
    inputs = torch.randn(3, *shapes[0])
    with torch.no_grad():
        torch.testing.assert_close(coupling.module(inputs), coupling.original(inputs))


def test_rules_name_operators_that_exist():
    for name in RULES:
        packet, overload = name.removeprefix("aten.").split(".")
        assert overload in getattr(torch.ops.aten, packet).overloads()


def test_the_error_is_a_refusal_of_a_plan():
    assert issubclass(CannotRemove, errors.PlanError)
    assert CannotRemove.code == "E113"

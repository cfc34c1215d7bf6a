"""The project's own models, trained: random channels of every family go, and the answers are those of the mask."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import pruning_core as pc
from pruning_core.coupling import Coupling, Options, couple
from pruning_core.data import EvalData
from pruning_core.model import Model
from pruning_core.onnx_export import largest_difference, to_onnx
from pruning_core.slimming import Counts, counts_of, living_graph, slim
from tests.removals import masked_module, random_groups

SAMPLES = ("lenet_300_100", "mobilenet_fashion", "resnet_fashion", "vit_fashion")
few = settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@cache
def prepared(name: str) -> tuple[Model, EvalData]:
    model = pc.load_model(name)
    return model, pc.load_data(str(model.data_name)).test.take(64)


@cache
def coupling_of(name: str, options: Options) -> Coupling:
    return couple(prepared(name)[0].graph, options)


def batches(data: EvalData) -> list[tuple[Tensor, ...]]:
    return [inputs for inputs, _ in data.batches(32)]


@pytest.mark.parametrize("name", SAMPLES)
@few
@given(share=st.sampled_from([0.3, 0.5, 0.9]), seed=st.integers(0, 99), through_norms=st.booleans())
def test_random_families(name: str, share: float, seed: int, through_norms: bool) -> None:
    model, data = prepared(name)
    coupling = coupling_of(name, Options(through_norms=through_norms))
    removed = random_groups(coupling, share, seed)
    masked = living_graph(coupling, removed) if through_norms else masked_module(model.module, coupling, removed)
    found = slim(model, coupling, removed, masked, batches(data))
    assert found.params < model.graph.params
    assert found.macs < model.graph.macs
    assert found.samples == 64
    assert counts_of(coupling, removed) == Counts(found.params, found.macs, found.size_bytes)


def test_half_of_all_heads() -> None:
    model, data = prepared("vit_fashion")
    coupling = coupling_of("vit_fashion", Options())
    removed = np.concatenate([heads[: len(heads) // 2] for heads in heads_by_layer(coupling)])
    assert len(removed) == len(coupling.heads) // 2
    found = slim(model, coupling, removed, masked_module(model.module, coupling, removed), batches(data))
    shapes = {name: tuple(value.shape) for name, value in found.graph.state_dict().items() if "attention" in name}
    dense = dict(model.module.named_parameters())
    for name, shape in shapes.items():
        halves = (1, 1) if name.endswith("proj.bias") else (1, 2) if "proj" in name else (2, 1)
        assert shape == tuple(size // half for size, half in zip(dense[name].shape, halves, strict=False))
    exported = to_onnx(found.module, model.example_inputs)
    assert largest_difference(exported, found.module, iter(batches(data))) <= 1e-4 * found.scale


def heads_by_layer(coupling: Coupling) -> list[np.ndarray]:
    """Return the heads of each attention layer, as its packed projection has them."""
    packed = [np.unique(roots) for (name, dim), roots in coupling.roots.items() if "qkv.weight" in name and dim == 0]
    assert all(set(heads.tolist()) <= coupling.heads for heads in packed)
    return packed


def test_the_smaller_model_keeps_the_batch_open_in_onnx() -> None:
    model, data = prepared("resnet_fashion")
    coupling = coupling_of("resnet_fashion", Options())
    removed = random_groups(coupling, 0.5, seed=1)
    found = slim(model, coupling, removed, masked_module(model.module, coupling, removed), batches(data))
    several = [batch[:n] for (batch,) in batches(data) for n in (1, 5, 32)]
    exported = to_onnx(found.module, model.example_inputs)
    assert largest_difference(exported, found.module, iter((batch,) for batch in several)) <= 1e-4 * found.scale
    assert len(exported) < len(to_onnx(model.module, (torch.zeros_like(model.example_inputs[0]),)))

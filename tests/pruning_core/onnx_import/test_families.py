"""Families of torchvision, timm and transformers: exported and imported, they have the groups of the module itself."""

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, fx, nn

import pruning_core as pc
from pruning_core.coupling import couple
from pruning_core.errors import PruningError
from pruning_core.graph import ModelGraph, trace
from pruning_core.onnx_import import import_model
from tests.pruning_core.onnx_import.exported import exported, saved
from tests.zoo import SMALL, ZOO, Entry

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

OPSETS = {True: (18, 23), False: (11, 13, 17, 20)}  # of the newer exporter, of the older
STRIDED = "node_as_strided"  # the newer exporter writes a fixed batch into a list of places


def comparable(entry: Entry, name: str) -> Entry:
    """Return the entry with smaller images, where the family takes any size."""
    fixed = ("vit", "swin", "maxvit", "levit", "inception", "alexnet", "vgg", "transformers")
    return entry if any(part in name for part in fixed) else Entry(entry.build, (3, 64, 64), entry.tokens)


def exported_or_skipped(module: nn.Module, inputs: tuple[Tensor, ...], **options: bool) -> onnx.ModelProto:
    """Export a module; what the older exporter has no operator for is skipped."""
    try:
        return exported(module, inputs, **options)
    except torch.onnx.errors.OnnxExporterError as error:
        if options["dynamo"]:
            raise
        pytest.skip(f"torch's older exporter refuses it: {str(error)[:80]}")


def same_function_and_groups(module: nn.Module, inputs: tuple[Tensor, ...], imported: nn.Module) -> None:
    """Assert equal answers to rounding, and that the same number of channels can go."""
    with torch.inference_mode():
        wanted, found = module(*inputs), imported(*inputs)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=float(1e-4 * wanted.std()))
    own, other = trace(module, inputs), trace(imported, inputs)
    assert len(fed(other)) >= len(fed(own))
    assert groups(other) == groups(own)


def fed(graph: ModelGraph) -> set[str]:
    """Layers that read what follows from the input; the rest, such as a table of places, is exported as numbers."""
    follows, found, views = set[fx.Node](), set[str](), dict[fx.Node, str]()
    for node in graph.module.graph.nodes:
        read = [views[other] for other in node.all_input_nodes if other in views]
        if node.op == "placeholder" or not follows.isdisjoint(node.all_input_nodes):
            follows.add(node)
            found.update(read)
        elif node.op == "get_attr":
            views[node] = str(node.target)
        elif read and len(node.all_input_nodes) == 1:
            views[node] = read[0]
    return {layer.name for layer in graph.layers if layer.parameter in found and layer.kind != "embedding"}


def groups(graph: ModelGraph) -> int:
    """Count the groups that can lose channels, in layers that read what follows from the input."""
    coupling = couple(graph)
    read = {graph.layer(name).parameter for name in fed(graph)}
    own = [roots for (parameter, _), roots in coupling.roots.items() if parameter in read]
    return len(np.intersect1d(coupling.prunable(), np.concatenate(own)))


@pytest.mark.parametrize("dynamo", [True, False])
@pytest.mark.parametrize("name", ZOO)
def test_the_whole_zoo(name, dynamo):
    """With an open batch."""
    entry = comparable(ZOO[name], name)
    module, inputs = entry.module(), entry.inputs()
    proto = exported_or_skipped(module, inputs, dynamo=dynamo)
    same_function_and_groups(module, inputs, import_model(proto, list(inputs)).module)


@pytest.mark.parametrize(("dynamo", "opset"), [(dynamo, opset) for dynamo in OPSETS for opset in OPSETS[dynamo]])
@pytest.mark.parametrize("name", ["resnet", "mobilenet_v3", "timm:vit"])
def test_opsets(name, dynamo, opset):
    """The operators changed from opset to opset; what comes out did not."""
    entry = SMALL[name]
    module, inputs = entry.module(), entry.inputs()
    if opset < 14 and "vit" in name:
        pytest.skip("attention needs opset 14")
    proto = exported(module, inputs, dynamo=dynamo, opset=opset)
    assert {entry.version for entry in proto.opset_import if not entry.domain} == {opset}
    same_function_and_groups(module, inputs, import_model(proto, list(inputs)).module)


@pytest.mark.parametrize("dynamo", [True, False])
@pytest.mark.parametrize("name", SMALL)
def test_a_fixed_batch_is_opened_or_refused_by_node(tmp_path, name, dynamo):
    """Loaded, pruned by 30 % and slimmed with proof; only a list of places that holds the batch is refused."""
    entry = SMALL[name]
    module, inputs = entry.module(), entry.inputs()
    proto = exported_or_skipped(module, tuple(value[:1] for value in inputs), dynamo=dynamo, is_open=False)
    try:
        model = pc.load_model(saved(proto, tmp_path))
    except PruningError as error:
        if STRIDED not in str(error):
            raise
        return
    same_function_and_groups(module, inputs, model.module)
    plan, _ = pc.uniform_plan(model, pc.LayerPlan(sparsity=0.3, granularity="output_channel"))
    slimmed = pc.prune(model, plan).slimmed
    assert slimmed.params < model.graph.params
    assert slimmed.difference <= 1e-4 * slimmed.scale

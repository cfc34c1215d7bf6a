"""The same groups as torch_pruning 1.6.1 finds, for an output of every layer of six convolutional families.

Its DependencyGraph follows autograd from module to module (Fang et al. 2023, arXiv:2301.12900); ours runs operators.
"""

import pytest
import torch
import torchvision
from torch import nn

from pruning_core.coupling import couple
from pruning_core.graph import trace
from tests.pruning_core.coupling.nets import Slot, slots_of

torch_pruning = pytest.importorskip("torch_pruning")

SIZES = {"resnet18": 32, "mobilenet_v2": 32, "densenet121": 32, "vgg11_bn": 32, "alexnet": 64, "squeezenet1_0": 64}


def weights_of(item, names: dict[nn.Module, str]) -> set[Slot]:
    """The slots of convolution and linear weights in one item of a torch_pruning group."""
    layer, handler = item.dep.target.module, item.dep.handler.__name__
    if not isinstance(layer, (nn.Conv2d, nn.Linear)):
        return set()
    name = f"{names[layer]}.weight"
    depthwise = isinstance(layer, nn.Conv2d) and layer.groups > 1
    dim = 0 if depthwise or "out_channels" in handler else 1
    return {(name, dim, int(index)) for index in item.idxs}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SIZES)
def test_the_groups_of_torch_pruning(name: str):
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None).eval()
    example = torch.randn(2, 3, SIZES[name], SIZES[name])
    coupling = couple(trace(model, (example,)))
    dependencies = torch_pruning.DependencyGraph().build_dependency(model, example)
    names = {module: path for path, module in model.named_modules()}
    weights = {f"{path}.weight" for module, path in names.items() if isinstance(module, (nn.Conv2d, nn.Linear))}
    groups = slots_of(coupling)
    compared = 0
    for layer, path in names.items():
        if not isinstance(layer, (nn.Conv2d, nn.Linear)):
            continue
        depthwise = isinstance(layer, nn.Conv2d) and layer.groups > 1
        prune = torch_pruning.prune_linear_out_channels
        if isinstance(layer, nn.Conv2d):
            kind = "prune_depthwise_conv_out_channels" if depthwise else "prune_conv_out_channels"
            prune = getattr(torch_pruning, kind)
        roots = coupling.roots[f"{path}.weight", 0]
        index = 7 * compared % len(roots)
        items = dependencies.get_pruning_group(layer, prune, idxs=[index])
        theirs: set[Slot] = set().union(*(weights_of(item, names) for item in items))
        assert {slot for slot in groups[int(roots[index])] if slot[0] in weights} == theirs, (path, index)
        compared += 1
    assert compared >= 8

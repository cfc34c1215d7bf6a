"""Source of the smaller graph: it stands alone, loads the state strictly, and computes the same bits."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, fx, nn
from torch.nn import functional as F

from pruning_core.errors import ExportError
from pruning_core.slimming import python_source, slim_graph
from tests.pruning_core.coupling.nets import NETS, Net
from tests.pruning_core.slimming.equal import batches_of, coupled
from tests.removals import random_groups


def rebuilt(graph: fx.GraphModule) -> nn.Module:
    """Run the source, and load the state from bytes as a file would hold it."""
    names: dict[str, type[nn.Module]] = {}
    exec(compile(python_source(graph, "Small"), "small.py", "exec"), names)
    module = names["Small"]()
    module.load_state_dict(load(save({name: tensor.clone() for name, tensor in graph.state_dict().items()})))
    return module.eval()


@pytest.mark.parametrize("name", ["residual", "shuffle", "decoder", "gqa", "gru", "flatten", "option_a"])
def test_the_same_bits(name: str) -> None:
    net, shapes = NETS[name]
    inputs = tuple(torch.randn(2, *shape) for shape in shapes)
    coupling = coupled(net, *inputs)
    graph = slim_graph(coupling, random_groups(coupling, 0.5, seed=0))
    module = rebuilt(graph)
    assert set(module.state_dict()) == set(graph.state_dict())
    for batch in batches_of(*inputs):
        with torch.inference_mode():
            assert torch.equal(module(*batch), graph(*batch))


def test_infinities_and_several_outputs() -> None:
    def forward(m: Net, x: Tensor) -> Tensor:
        hidden = m.a(x)
        return m.b(hidden.masked_fill(hidden < 0, float("-inf")).softmax(1)), hidden  # type: ignore[return-value]

    net = Net(forward, a=nn.Linear(5, 4), b=nn.Linear(4, 3))
    x = torch.randn(2, 5)
    coupling = coupled(net, x)
    graph = slim_graph(coupling, coupling.prunable()[:0])
    with torch.inference_mode():
        found, expected = rebuilt(graph)(x), graph(x)
    assert isinstance(expected, tuple)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)  # where all are masked, softmax is NaN


def test_tied_weights_are_tied_again() -> None:
    net = Net(lambda m, x: m.b(F.linear(m.a(x).relu(), m.a.weight.T)), a=nn.Linear(5, 6), b=nn.Linear(5, 3))
    x = torch.randn(2, 5)
    coupling = coupled(net, x)
    graph = slim_graph(coupling, random_groups(coupling, 0.5, seed=0))
    graph.other = nn.Module()
    graph.other.weight = graph.get_parameter("a.weight")
    module = rebuilt(graph)
    assert module.get_parameter("a.weight") is module.get_parameter("other.weight")


def test_frozen_parameters_and_types() -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    net[2].weight.requires_grad = False
    coupling = coupled(net, torch.randn(2, 5, dtype=torch.float64))
    module = rebuilt(slim_graph(coupling, random_groups(coupling, 0.5, seed=0)))
    assert [p.requires_grad for p in module.parameters()] == [True, True, False, True]
    assert {p.dtype for p in module.parameters()} == {torch.float64}


def test_nothing_of_this_machine_and_nothing_of_this_package() -> None:
    net, shapes = NETS["decoder"]
    coupling = coupled(net, *(torch.randn(2, *shape) for shape in shapes))
    source = python_source(slim_graph(coupling, random_groups(coupling, 0.5, seed=0)))
    assert str(Path.home()) not in source
    assert str(Path(__file__).parents[3]) not in source
    imports = [line for line in source.splitlines() if line.startswith(("import", "from"))]
    assert imports == ["import torch", "from torch import nn"]


def test_calls_of_python_are_refused() -> None:
    graph = fx.Graph()
    x = graph.placeholder("x")
    graph.output(graph.call_function(batches_of, (x,)))
    with pytest.raises(ExportError, match="no operator of torch"):
        python_source(fx.GraphModule(nn.Module(), graph))

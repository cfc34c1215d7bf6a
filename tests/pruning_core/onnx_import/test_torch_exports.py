"""What torch exports, by either exporter, comes back as the same function of the same weights."""

import pytest
import torch
from torch import nn

import pruning_core as pc
from tests.pruning_core.onnx_import.exported import exported, saved


class Small(nn.Module):
    """Convolutions with a residual sum, batch norm, and a flatten that an exporter writes down."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1))
        self.head = nn.Linear(8 * 4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 5) of (batch, 3, 8, 8)."""
        x = torch.relu(self.norm(self.stem(x)))
        x = nn.functional.adaptive_avg_pool2d(x + self.inner(x), 2)
        return self.head(x.flatten(1))


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("dynamo", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_network_comes_back_prunes_and_slims(tmp_path, dynamo, is_open):
    """Layers keep their names; 30 % of the channels go, and what remains answers as the masked model."""
    module = Small().eval()
    x = torch.randn(4, 3, 8, 8)
    proto = exported(module, (x if is_open else x[:1],), dynamo=dynamo, is_open=is_open)
    model = pc.load_model(saved(proto, tmp_path))
    with torch.inference_mode():
        torch.testing.assert_close(model.module(x), module(x), rtol=1e-5, atol=1e-5)
    assert [layer.name for layer in model.graph.layers] == ["stem", "inner.0", "inner.2", "head"]
    assert ("of 1 that the file fixes was opened" in model.note) is not is_open
    plan, _ = pc.uniform_plan(model, pc.LayerPlan(sparsity=0.3, granularity="output_channel"))
    pruned = pc.prune(model, plan)
    assert pruned.slimmed.params < 0.7 * model.graph.params
    assert pruned.slimmed.difference <= 1e-5 * pruned.slimmed.scale

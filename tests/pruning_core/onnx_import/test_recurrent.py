"""LSTM, GRU and RNN in all directions, as torch's layers and step by step."""

import numpy as np
import pytest
import torch
from torch import nn

import pruning_core as pc
from pruning_core.onnx_import import import_model
from tests.pruning_core.onnx_import.exported import exported, saved
from tests.pruning_core.onnx_import.graphs import agrees, one
from tests.pruning_core.onnx_import.test_operators import real

STEPS, BATCH, INPUTS, HIDDEN = 5, 3, 4, 6
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(operator, direction="forward", lengths=None, states=False, peepholes=False, **attributes):
    """Return a model of one recurrent operator with all its outputs, and what it is given."""
    n, gates = 2 if direction == "bidirectional" else 1, GATES[operator]
    weights = [real(n, gates * HIDDEN, INPUTS), real(n, gates * HIDDEN, HIDDEN), real(n, 2 * gates * HIDDEN)]
    first = [real(n, BATCH, HIDDEN) if states else None] * (2 if operator == "LSTM" else 1)
    inputs = [real(STEPS, BATCH, INPUTS), *weights, lengths, *first]
    inputs += [real(n, 3 * HIDDEN)] if peepholes else []
    while inputs[-1] is None:
        inputs.pop()
    outputs = 3 if operator == "LSTM" else 2
    known = (1, 2, 3, 7) if peepholes else (1, 2, 3)
    return one(operator, inputs, known=known, outputs=outputs, direction=direction, hidden_size=HIDDEN, **attributes)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("operator", "attributes"), [("LSTM", {}), ("RNN", {}), ("GRU", {"linear_before_reset": 1})])
def test_torch_s_own_layer_computes_it(operator, attributes, direction):
    """The usual form is one layer of torch with torch's parameters."""
    model, arrays = recurrent(operator, direction, states=True, **attributes)
    module = import_model(model, [torch.from_numpy(array) for array in arrays]).module
    assert [step.node.operator for step in module.steps] == [f"Torch{operator}"]
    assert {name.rpartition(".")[2] for name, _ in module.named_parameters()} >= {"weight_ih_l0", "weight_hh_l0"}
    agrees(model, arrays)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("LSTM", {"peepholes": True}),
        ("LSTM", {"lengths": np.array([2, 5, 3], np.int32)}),
        ("LSTM", {"clip": 0.3, "input_forget": 1}),
        ("GRU", {"linear_before_reset": 0}),
        ("GRU", {"lengths": np.array([2, 5, 3], np.int32), "linear_before_reset": 1}),
        ("RNN", {"lengths": np.array([2, 5, 3], np.int32)}),
    ],
)
def test_step_by_step(operator, attributes, direction):
    """Whatever torch's layers cannot do gives what ONNX Runtime gives."""
    agrees(*recurrent(operator, direction, **attributes), tolerance=1e-4)


def test_activations_with_settings_take_them_in_order():
    """Each direction has its own functions and their settings."""
    agrees(
        *recurrent("RNN", "bidirectional", activations=["LeakyRelu", "HardSigmoid"], activation_alpha=[0.2, 0.3]),
        tolerance=1e-4,
    )


class Tagger(nn.Module):
    """A bidirectional LSTM between linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(4, 6)
        self.layer = nn.LSTM(6, 5, bidirectional=True, batch_first=True)
        self.leave = nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, steps, 3) of (batch, steps, 4)."""
        return self.leave(self.layer(self.enter(x))[0])


@pytest.mark.parametrize("is_open", [pytest.param(True, marks=pytest.mark.slow), False])
def test_hidden_units_of_an_imported_lstm_can_go(tmp_path, is_open):
    """Coupling and slimming see the layer as torch's own."""
    module, x = Tagger().eval(), torch.randn(2, 3, 4)
    proto = exported(module, (x if is_open else x[:1],), dynamo=False, is_open=is_open)
    model = pc.load_model(saved(proto, tmp_path))
    with torch.inference_mode():
        torch.testing.assert_close(model.module(x), module(x))
    direct = pc.Model("direct", module, (x,))
    assert len(model.coupling.prunable()) == len(direct.coupling.prunable()) > 0

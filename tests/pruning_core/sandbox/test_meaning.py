"""Files that can be read and yet mean nothing: the third stage."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import NodeProto, helper
from torch import nn

from pruning_core.data import EvalData, check_fits
from pruning_core.errors import FileRefused
from pruning_core.loaders.seam import MODEL_LOADERS, Loader, load_model
from pruning_core.model import Model
from pruning_core.sandbox import rehearse
from tests.hostile.case import graph, model, relu


def test_tokens_beyond_the_vocabulary() -> None:
    module = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 3))
    words = Model("words", module, (torch.zeros(2, 2, dtype=torch.int64),))
    data = EvalData("words", "all", np.array([[0, 1], [4, 5]]), None, tokens=True)
    with pytest.raises(FileRefused, match="token 5 is outside 0 to 4") as caught:
        check_fits(data, words.graph)
    assert caught.value.code == "E312"


@pytest.mark.parametrize(
    ("nodes", "inputs", "code"),
    [
        ([relu()], 1, "E246"),  # nothing to prune
        ([helper.make_node("Constant", [], ["y"], value_float=1.0)], 0, "E232"),  # nothing to compute from
        ([helper.make_node("NoSuchOperator", ["x"], ["y"])], 1, "E230"),
        ([helper.make_node("Relu", ["elsewhere"], ["y"])], 1, "E230"),
    ],
)
def test_graphs_that_mean_nothing(nodes: list[NodeProto], inputs: int, code: str, tmp_path: Path) -> None:
    made = graph(nodes)
    del made.input[inputs:]
    (tmp_path / "net.onnx").write_bytes(model(made).SerializeToString())
    with pytest.raises(FileRefused) as caught:
        rehearse(str(tmp_path / "net.onnx"), "model")
    assert (caught.value.code, str(tmp_path) in str(caught.value)) == (code, False), str(caught.value)


def test_what_runs_code_needs_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = Loader("mine", "file.mine", lambda spec: spec.endswith(".mine"), load_model, lambda: (), runs_code=True)
    monkeypatch.setitem(MODEL_LOADERS._members, "mine", loader)
    with pytest.raises(FileRefused, match="--trust-file") as caught:
        load_model("net.mine")
    assert caught.value.code == "E248"

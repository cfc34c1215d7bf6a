"""What users can get wrong ends in one sentence, the same from Python and from the command line; nothing is lost."""

import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pruning_core as pc
from explorer import cli
from pruning_core.errors import ModelError, PruningError, UnknownName
from pruning_core.loaders import MODEL_LOADERS
from pruning_core.loaders.seam import Loader
from pruning_core.model import Model, state_hash

CLASSES = 3


def mlp(value: float | None = None) -> nn.Module:
    """Two layers; `value` stands among the weights of the second."""
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, CLASSES))
    if value is not None:
        module[2].weight.data[0, 0] = value
    return module


class Attention(nn.Module):
    """Four heads of two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.heads = nn.Linear(3, 8), nn.MultiheadAttention(8, 4, batch_first=True)
        self.out = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.out((x + self.heads(x, x, x, need_weights=False)[0]).mean(1))


class Tied(nn.Module):
    """Two layers with one weight, or one layer used twice."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 4), nn.Linear(4, CLASSES)
        self.again = nn.Linear(4, 4) if layers == 2 else self.first
        self.again.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.again(torch.relu(self.first(x)))))


class Empty(nn.Module):
    """A layer without outputs beside one with."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 6), nn.Linear(6, CLASSES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of the empty weight
            self.none = nn.Linear(4, 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.cat([torch.relu(self.first(x)), self.none(x)], 1))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (4,)),
    "nan": (lambda: mlp(float("nan")), (4,)),
    "infinite": (lambda: mlp(float("inf")), (4,)),
    "attention": (Attention, (5, 3)),
    "tied": (lambda: Tied(2), (4,)),
    "shared": (lambda: Tied(1), (4,)),
    "empty": (Empty, (4,)),
}
KNOWN: dict[str, Model] = {}


def load(spec: str) -> Model:
    if spec not in KNOWN:
        torch.manual_seed(0)
        build, shape = MODELS[spec]
        KNOWN[spec] = Model(spec, build(), (torch.zeros(2, *shape),))
    return KNOWN[spec]


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models of this file can be loaded by name."""
    loader = Loader("toy", "toy", lambda spec: spec in MODELS, load, lambda: ())
    monkeypatch.setattr(MODEL_LOADERS, "_members", {"toy": loader, **MODEL_LOADERS})


@dataclass(frozen=True)
class Case:
    """A wish for a model, and what is said."""

    model: str
    layers: dict[str, dict[str, Any]]
    code: str
    sentence: str
    y: Any = field(default_factory=lambda: np.arange(6) % CLASSES)
    scope: str = "layer"
    n: int = 6

    @property
    def plan(self) -> pc.Plan:
        return pc.Plan.from_json(json.dumps({"layers": self.layers, "scope": self.scope}))

    def data(self, folder: Path) -> Path:
        x = np.random.default_rng(0).normal(size=(self.n, *MODELS[self.model][1])).astype(np.float32)
        np.savez(folder / "few.npz", x=x, **({} if self.y is None else {"y": self.y}))
        return folder / "few.npz"


CHANNELS, HEADS = {"granularity": "output_channel"}, {"granularity": "head"}
HALF = {"0": {"sparsity": 0.5}}
CASES = {
    "all weights of a layer": Case(
        "mlp", {"0": {"sparsity": 1}}, "E110", "0: sparsity 1 would remove all 24 blocks; a lower one keeps some"
    ),
    "all channels of a group": Case(
        "mlp", {"0": {"sparsity": 1, **CHANNELS}}, "E110", "0: sparsity 1 would remove all 6 blocks; a lower one keeps"
    ),
    "all channels by rounding": Case(
        "mlp", {"0": {"sparsity": 0.95, **CHANNELS}}, "E110", "0: sparsity 0.95 would remove all 6 blocks; a lower one"
    ),
    "all heads": Case(
        "attention",
        {"heads.in_proj_weight": {"sparsity": 0.9, **HEADS}},
        "E110",
        "heads.in_proj_weight: sparsity 0.9 would remove all 4 blocks; a lower one keeps some",
    ),
    "a group by the model-wide ranking": Case(
        "mlp",
        {"0": {"sparsity": 0.9}, "2": {"sparsity": 0.9}},
        "E110",
        "2: the model-wide ranking would remove all of it; lock it, or lower the sparsity",
        scope="model",
    ),
    "channels that are the answers": Case(
        "mlp",
        {"2": {"sparsity": 0.5, **CHANNELS}},
        "E111",
        "2: none of its outputs can go: they reach the model output",
    ),
    "heads where there are none": Case(
        "mlp", {"0": {"sparsity": 0.5, **HEADS}}, "E111", "0: its outputs are no attention heads; output_channel fits"
    ),
    "channels inside of heads": Case(
        "attention",
        {"heads.in_proj_weight": {"sparsity": 0.5, **CHANNELS}},
        "E111",
        "heads.in_proj_weight: its outputs live in whole attention heads; head fits",
    ),
    "n of m that does not divide": Case(
        "mlp",
        {"2": {"sparsity": 0.5, "granularity": "n_m"}},
        "E111",
        "2: 2:4 needs inputs in groups of 4, this layer has 6; m of 2 would fit",
    ),
    "a criterion without targets": Case(
        "mlp",
        {"0": {"sparsity": 0.5, "criterion": "taylor"}},
        "E120",
        "0: taylor needs gradients of the loss on calibration data with targets, and the data has none; l1 works",
        y=None,
    ),
    "a criterion without its norm": Case(
        "mlp",
        {"0": {"sparsity": 0.5, "criterion": "bn_scale", "granularity": "row"}},
        "E120",
        "0: bn_scale needs a batch norm after the layer; l1 works everywhere",
    ),
    "a criterion that tells single weights not apart": Case(
        "mlp",
        {"0": {"sparsity": 0.5, "criterion": "similarity"}},
        "E120",
        "0: similarity scores whole outputs, so within them position would choose; output_channel or row fits it",
    ),
    "outputs of a layer that is used twice": Case(
        "shared",
        {"first": {"sparsity": 0.5, "criterion": "mean_activation", "granularity": "row"}},
        "E120",
        "first: mean_activation needs outputs of one place, and this weight is used in 2; l1 works everywhere",
    ),
    "a tied weight by its second name": Case(
        "tied",
        {"again": {"sparsity": 0.5}},
        "E101",
        "'again' has the weight of 'first' and is pruned with it; name 'first' instead",
    ),
    "a layer without weights": Case(
        "empty", {"none": {"sparsity": 0.5}}, "E101", "'none' cannot be pruned: it is empty"
    ),
    "a layer that is not there": Case(
        "mlp", {"3": {"sparsity": 0.5}}, "E101", "the model has no prunable layer '3'; known: 0, 2"
    ),
    "labels out of range": Case(
        "mlp", HALF, "E310", "data 'few': target 3 of example 3 is outside 0 to 2", y=np.arange(6)
    ),
    "negative labels": Case(
        "mlp", HALF, "E310", "data 'few': target -1 of example 0 is outside 0 to 2", y=np.full(6, -1)
    ),
    "no examples": Case("mlp", HALF, "E306", "the data has no examples", y=np.zeros(0, int), n=0),
    "fewer labels than inputs": Case("mlp", HALF, "E308", "6 inputs but 5 targets", y=np.arange(5) % 3),
    "targets of several columns": Case(
        "mlp", HALF, "E308", "targets have shape (6, 2); one class number each is needed, (6,)", y=np.zeros((6, 2), int)
    ),
    "targets that are no numbers of classes": Case(
        "mlp", HALF, "E309", "data 'few' has 1 numbers to predict for each example, but the model gives 3 numbers",
        y=np.full(6, 0.5),
    ),
    "weights that are NaN": Case(
        "nan", HALF, "E244", "weight '2.weight' holds 1 NaN or infinite values; mend or re-export the model"
    ),
    "weights that are infinite": Case(
        "infinite", HALF, "E244", "weight '2.weight' holds 1 NaN or infinite values; mend or re-export the model"
    ),
}  # fmt: skip
PARAMETERS = [pytest.param(case, id=name) for name, case in CASES.items()]


@pytest.mark.parametrize("case", PARAMETERS)
def test_from_the_command_line(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.json").write_text(case.plan.to_json())
    out = tmp_path / "out"
    words = ["prune", case.model, "--plan", tmp_path / "plan.json", "--data", case.data(tmp_path), "--out", out]
    code = cli.answer([str(word) for word in words])
    answer = capsys.readouterr()
    *notes, last = answer.err.splitlines()
    assert (code, answer.out, out.exists()) == (2, "", False)
    assert last.startswith(f"pruning-explorer: {case.code}: {case.sentence}")
    assert all(line.startswith("note: ") for line in notes)


NEEDS_LABELS = ("E308", "E309", "E310")  # said where labels are first looked at


def attempt(case: Case, way: str, folder: Path) -> None:
    """Do what the case asks in one of the ways of the library; `apply` looks at no labels that it does not need."""
    model = load(case.model)
    dataset = pc.load_data(str(case.data(folder)), model=model)
    if way == "workbench":
        pc.Workbench(model, dataset, case.plan)
    elif way == "measure" or case.code in NEEDS_LABELS:
        pc.measure(model, dataset.test, case.plan)
    elif way == "export":
        pc.export(model, case.plan, folder / "out", dataset.test)
    else:
        pc.apply(case.plan, model, dataset.test)


@pytest.mark.parametrize("case", PARAMETERS)
@pytest.mark.parametrize("way", ["apply", "measure", "workbench", "export"])
def test_from_python(case: Case, way: str, tmp_path: Path) -> None:
    before = None if case.code == "E244" else state_hash(load(case.model).module)
    with pytest.raises(PruningError, match=f"^{re.escape(case.sentence)}") as refused:
        attempt(case, way, tmp_path)
    assert refused.value.code == case.code
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
    assert before is None or state_hash(load(case.model).module) == before


NOTHING = [
    ("mlp", {"0": {"sparsity": 0.0}}),
    ("mlp", {"0": {"sparsity": 0.01}}),
    ("attention", {"heads.in_proj_weight": {"sparsity": 0.1, **HEADS}}),
]


@pytest.mark.parametrize(("name", "layers"), NOTHING, ids=["zero", "less than a weight", "less than a head"])
def test_a_plan_that_removes_nothing_is_refused_where_it_would_be_written(
    name: str, layers: dict[str, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = Case(name, layers, "", "")
    (tmp_path / "plan.json").write_text(case.plan.to_json())
    words = ["prune", name, "--plan", str(tmp_path / "plan.json"), "--out", str(tmp_path / "out")]
    assert cli.answer(words) == 2
    assert capsys.readouterr().err == "pruning-explorer: E110: the plan removes nothing; raise a sparsity\n"
    model = load(name)
    pruned = pc.apply(case.plan, model)
    assert all(torch.equal(a, b) for a, b in zip(pruned.parameters(), model.module.parameters(), strict=True))
    with pytest.raises(PruningError, match=r"^the plan removes no whole channel, head or layer of .*; choose the gran"):
        pc.slim(case.plan, model)


def test_a_share_of_heads_that_is_no_whole_number_rounds_and_the_rest_is_removed_physically() -> None:
    model = load("attention")
    plan = pc.Plan().with_layer("heads.in_proj_weight", sparsity=0.3, **HEADS)  # 1.2 of 4 heads
    slimmed = pc.slim(plan, model)
    assert slimmed.params == model.graph.params - (3 * 2 * 8 + 3 * 2 + 8 * 2)  # rows of q, k, v with biases, columns


def test_without_any_data_a_criterion_says_what_it_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prune", "mlp", "--sparsity", "0.5", "--criterion", "wanda", "--out", str(tmp_path / "out")]
    sentence = "0: wanda needs calibration data; l1 and l2 work without data"
    assert cli.answer(words) == 2
    assert capsys.readouterr().err == f"pruning-explorer: E120: {sentence}\n"
    with pytest.raises(PruningError, match=f"^{sentence}$"):
        pc.apply(pc.Plan().with_layer("0", sparsity=0.5, criterion="wanda"), load("mlp"))


@pytest.mark.parametrize("name", ["tied", "shared"])
def test_a_weight_in_two_places_is_pruned_once_and_shown_once(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = load(name)
    assert [layer.name for layer in model.graph.layers] == ["first", "out"]
    pruned = pc.apply(pc.Plan().with_layer("first", sparsity=0.5), model)
    assert pruned.again.weight is pruned.first.weight
    assert int((pruned.first.weight == 0).sum()) == 8
    assert cli.answer(["inspect", name, "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["layers"] if row["prunable"]] == ["first", "out"]
    report = json.loads(pc.measure(model, None, pc.Plan().with_layer("first", sparsity=0.5)).to_json())
    assert [(row["name"], row["kept"]) for row in report["layers"]] == [("first", 8), ("out", 12)]


EMPTY = {"none": "it is empty", "none.bias": "it is empty"}


def test_a_layer_without_weights_is_shown_and_harms_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    model = load("empty")
    assert {other.name: other.why for other in model.graph.not_prunable} == EMPTY
    found = pc.sweep(model, pc.EvalData("few", "all", np.eye(4, dtype=np.float32), np.arange(4) % 3), pc.Request())
    assert {cell.layer for cell in found.cells} == {"first", "out"}
    assert cli.answer(["inspect", "empty", "--json"]) == 0
    rows = {row["name"]: row["why_not"] for row in json.loads(capsys.readouterr().out)["layers"]}
    assert rows == {"first": None, "out": None, **EMPTY}


def test_targets_in_a_column_are_read_from_files_and_refused_from_python(tmp_path: Path) -> None:
    case = Case("mlp", HALF, "", "", y=(np.arange(6) % CLASSES)[:, None])
    assert pc.load_data(str(case.data(tmp_path))).test.labels().tolist() == [0, 1, 2, 0, 1, 2]
    with pytest.raises(PruningError, match=r"^targets have shape \(6, 1\); one class number each is needed, \(6,\)$"):
        pc.EvalData("few", "all", np.zeros((6, 4), np.float32), case.y)


def test_arrays_and_names_that_are_not_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "odd.npz", images=np.zeros((2, 4)), y=np.zeros(2, int))
    with pytest.raises(PruningError, match=r"holds 'images', 'y' but no array 'x'; save it with numpy\.savez"):
        pc.load_data(str(tmp_path / "odd.npz"))
    with pytest.raises(UnknownName, match=r"^0: unknown setting 'm'; "):
        pc.apply(pc.Plan().with_layer("0", sparsity=0.5, settings={"m": 4}), load("mlp"))
    with pytest.raises(PruningError, match=r"^layers\.0\.sparsty: unknown field; did you mean 'sparsity'\?$"):
        pc.Plan.from_json('{"layers": {"0": {"sparsty": 0.5}}}')


def test_a_model_whose_answers_are_not_finite_is_refused_at_use() -> None:
    module = mlp()
    module[0].weight.data.fill_(3e38)
    data = pc.EvalData("few", "all", np.ones((6, 4), np.float32), np.arange(6) % CLASSES)
    with pytest.raises(ModelError, match=r"^the model's output is NaN or infinite for 6 of 6 examples of data 'few'"):
        pc.measure(Model("large", module, (torch.zeros(2, 4),)), data)

"""Embeddings as layers: rows are dimensions, columns are tokens; a table that the output shares is shown once."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pruning_core.apply import apply, masked_copy, masks_for
from pruning_core.data import EvalData
from pruning_core.graph import ModelGraph, trace
from pruning_core.layers import embedding_counts
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking
from pruning_core.sensitivity import Replay
from pruning_core.sensitivity.sweep import Request, sweep
from pruning_core.statistics import collect

WORDS, WIDTH, CLASSES, LENGTH, N = 11, 6, 3, 5, 17


class TextClassifier(nn.Module):
    """A bag of words and of places; with `tied` it says which word is meant."""

    def __init__(self, tied: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(WORDS, WIDTH, padding_idx=0)
        self.places = nn.Embedding(LENGTH, WIDTH)
        self.fc = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, WORDS if tied else CLASSES, bias=False)
        self.register_buffer("order", torch.arange(LENGTH))
        if tied:
            self.out.weight = self.words.weight

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.relu(self.words(x.long()) + self.places(self.order))
        logits: Tensor = self.out(torch.relu(self.fc(seen.mean(1))))
        return logits


def tokens() -> np.ndarray:
    return np.random.default_rng(0).integers(0, WORDS, size=(N, LENGTH))


def data() -> EvalData:
    return EvalData("text", "calibration", tokens(), np.arange(N) % CLASSES)


@cache
def model(tied: bool = False) -> Model:
    return Model("text", TextClassifier(tied), (torch.zeros(2, LENGTH),))


@pytest.fixture(scope="module")
def graph() -> ModelGraph:
    return model().graph


def test_embeddings_are_layers_of_their_own_kind_without_macs(graph: ModelGraph) -> None:
    found = [(layer.name, layer.kind, layer.weight_shape, layer.macs, layer.params) for layer in graph.layers]
    assert found == [
        ("words", "embedding", (WIDTH, WORDS), 0, WIDTH * WORDS),
        ("places", "embedding", (WIDTH, LENGTH), 0, WIDTH * LENGTH),
        ("fc", "linear", (WIDTH, WIDTH), WIDTH * WIDTH, WIDTH * WIDTH + WIDTH),
        ("out", "linear", (CLASSES, WIDTH), CLASSES * WIDTH, CLASSES * WIDTH),
    ]
    assert graph.not_prunable == ()
    assert graph.layers[0].bias is graph.layers[1].bias is None


def test_whole_tokens_may_be_read_from_a_model_without_floats() -> None:
    found = trace(nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)).eval(), (torch.zeros(1, 3, dtype=torch.long),))
    assert [layer.kind for layer in found.layers] == ["embedding", "linear"]


def test_the_canonical_weight_is_what_one_hot_tokens_are_multiplied_by(graph: ModelGraph) -> None:
    words, layer = TextClassifier().words, graph.layer("words")
    one_hot = nn.functional.one_hot(torch.arange(WORDS)).float()
    with torch.no_grad():
        assert torch.equal(nn.functional.linear(one_hot, layer.canonical(words.weight)), words(torch.arange(WORDS)))
        assert torch.equal(layer.stored(layer.canonical(words.weight)), words.weight)


@pytest.mark.parametrize(("granularity", "silent"), [("column", (WORDS, 4)), ("row", (WIDTH, 3))])
def test_a_column_is_a_token_and_a_row_is_a_dimension(granularity: str, silent: tuple[int, int]) -> None:
    plan = Plan().with_layer("words", sparsity=0.4 if granularity == "column" else 0.5, granularity=granularity)
    pruned = apply(plan, model())
    zeros = pruned.words(torch.arange(WORDS)) == 0
    gone = zeros.all(1) if granularity == "column" else zeros.all(0)
    n, removed = silent
    padding = int(granularity == "column")  # its row of zeros is the weakest token
    assert (len(gone), int(gone.sum())) == (n, removed)
    assert bool(gone[0]) or not padding


def test_a_tied_table_is_pruned_and_shown_once_under_its_first_use() -> None:
    tied = model(tied=True)
    assert [layer.name for layer in tied.graph.layers] == ["words", "places", "fc"]
    words = tied.graph.layer("words")
    assert (words.kind, len(words.nodes), words.macs) == ("embedding", 2, WIDTH * WORDS)
    assert tied.graph.params == WORDS * WIDTH + LENGTH * WIDTH + WIDTH * WIDTH + WIDTH
    masks = masks_for(tied, Plan().with_layer("words", sparsity=0.5))
    pruned = masked_copy(tied, masks)
    assert pruned.out.weight is pruned.words.weight
    assert int((pruned.words.weight == 0).sum()) == WORDS * WIDTH // 2
    assert torch.equal(pruned.out.weight != 0, masks["words"].t())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", ["words", "fc"])
def test_a_fork_answers_as_the_masked_model(tied: bool, name: str) -> None:
    made = model(tied)
    replay, inputs = Replay(made.graph), torch.from_numpy(tokens()).float()
    mask = Ranking(made).mask(name, LayerPlan(sparsity=0.5))
    with torch.inference_mode():
        frontier = replay.start(inputs)
        replay.advance(frontier, replay.positions[name])
        forked = replay.fork(frontier, name, replay.weight(name, mask))
        torch.testing.assert_close(forked, masked_copy(made, {name: mask})(inputs))


def test_a_sweep_measures_every_embedding() -> None:
    made = model()
    found = sweep(made, data(), Request(levels=(0.3, 0.6)))
    assert found.exact
    assert {cell.layer for cell in found.cells} == {"words", "places", "fc", "out"}
    for cell in found.of_layer("words"):
        pruned = apply(Plan().with_layer("words", sparsity=cell.sparsity), made)
        with torch.no_grad():
            right = (pruned(torch.from_numpy(tokens())).argmax(1) == data().labels()).float().mean()
        assert cell.accuracy == pytest.approx(float(right))


def test_gradients_and_activations_of_embeddings() -> None:
    made = model()
    found = collect(made.graph, data(), {"gradient", "activation_zeros", "activation_mean"}, batch_size=5)
    module = TextClassifier()
    nn.functional.cross_entropy(module(torch.from_numpy(tokens())), data().labels()).backward()
    words = found["words"].known("gradient")
    torch.testing.assert_close(words[:, 1:], module.words.weight.grad.t()[:, 1:])
    with torch.no_grad():
        values = module.words(torch.from_numpy(tokens())).flatten(0, 1)
    torch.testing.assert_close(found["words"].known("activation_mean"), values.abs().mean(0))
    torch.testing.assert_close(found["words"].known("activation_zeros"), (values == 0).float().mean(0))


def test_counts_are_the_squared_norms_of_one_hot_inputs() -> None:
    seen = torch.from_numpy(tokens())
    one_hot = nn.functional.one_hot(seen, WORDS + 2).double()
    assert torch.equal(embedding_counts(seen, WORDS + 2), one_hot.square().sum((0, 1)))


def test_inputs_of_an_embedding_are_its_counts_and_of_a_tied_one_all_uses_together() -> None:
    counts = torch.bincount(torch.from_numpy(tokens()).flatten(), minlength=WORDS).double()
    norm = collect(model().graph, data(), {"input_norm"})["words"].known("input_norm")
    torch.testing.assert_close(norm, counts.sqrt()[None].float())
    tied = model(tied=True)
    layer, module, read = tied.graph.layer("words"), TextClassifier(tied=True), []
    module.out.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].detach()))
    module(torch.from_numpy(tokens()))
    both = collect(tied.graph, data(), {"input_norm"})["words"].known("input_norm")
    expected = (counts[None] + read[0].double().square().sum(0)[:, None]).sqrt().float()
    assert both.shape == layer.weight_shape
    torch.testing.assert_close(both, expected)

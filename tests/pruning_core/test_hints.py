"""Hints: exact scores by hand, and what a hint was worth: Spearman's correlation as scipy gives it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from pruning_core.errors import DataError, UnknownName
from pruning_core.model import Model
from pruning_core.plan import LayerPlan
from pruning_core.ranking import Ranking
from pruning_core.sensitivity.cells import Cell, Sweep
from pruning_core.sensitivity.correlation import mean_ranks, spearman
from pruning_core.sensitivity.hints import HINTS, Removal, scores_of, worth_of
from pruning_core.sensitivity.tally import Tally


def removal(weight: list[list[float]], kept: list[list[int]], sparsity: float = 0.5) -> Removal:
    return Removal({"a": torch.tensor(weight)}, {"a": torch.tensor(kept, dtype=torch.bool)}, sparsity, params=20)


@pytest.mark.parametrize(("name", "score"), [
    ("weight_energy", 25 / 50),  # 9 + 16 of 9 + 16 + 25
    ("spectral", 4 / 5),
    ("params_share", 3 / 20),
    ("sparsity", 0.75),
])  # fmt: skip
def test_scores_by_hand(name: str, score: float) -> None:
    weight = [[3.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 5.0]]
    kept = [[0, 1, 1], [0, 0, 1], [1, 1, 1]]
    assert HINTS[name](removal(weight, kept, 0.75)) == pytest.approx(score, rel=1e-4)


@pytest.mark.parametrize("name", HINTS)
def test_every_hint_says_what_it_is_and_grows_with_what_goes(name: str) -> None:
    weight = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)).tolist()
    some, more = np.ones((8, 6), int), np.ones((8, 6), int)
    some[:2], more[:5] = 0, 0
    assert HINTS[name].doc.endswith(".")
    assert HINTS[name](removal(weight, some.tolist(), 0.25)) < HINTS[name](removal(weight, more.tolist(), 0.625))
    assert HINTS[name](removal(weight, np.ones((8, 6), int).tolist(), 0.0)) == 0


def test_a_weight_of_zeros_scores_nothing() -> None:
    for name in ("weight_energy", "spectral"):
        assert HINTS[name](removal([[0.0, 0.0]], [[0, 1]])) == 0


def test_the_largest_singular_value_is_nearly_that_of_torch() -> None:
    weight = torch.randn(40, 30, generator=torch.Generator().manual_seed(1))
    mask = torch.rand(40, 30, generator=torch.Generator().manual_seed(2)) > 0.5
    exact = torch.linalg.matrix_norm(weight * ~mask, 2) / torch.linalg.matrix_norm(weight, 2)
    assert HINTS["spectral"](Removal({"a": weight}, {"a": mask}, 0.5, 1)) == pytest.approx(float(exact), rel=0.02)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("levels", [3, 1000])
def test_spearman_is_that_of_scipy_ties_included(seed: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.integers(0, levels, size=(2, 40)).tolist()
    assert spearman(a, b).value == pytest.approx(stats.spearmanr(a, b).statistic)
    assert np.array_equal(mean_ranks(a), stats.rankdata(a) - 1)


def test_the_interval_of_a_correlation() -> None:
    a, b = [1, 2, 3, 4, 5, 6, 7], [2, 1, 4, 3, 7, 5, 6]
    found = spearman(a, b)
    r, se = found.value, np.sqrt((1 + found.value**2 / 2) / 4)
    assert found.interval == pytest.approx(
        (np.tanh(np.arctanh(r) - 1.959964 * se), np.tanh(np.arctanh(r) + 1.959964 * se))
    )
    twice = spearman(a * 2, b * 2, n_independent=7)
    assert (twice.n, twice.value) == (14, pytest.approx(r))
    assert twice.interval == pytest.approx(found.interval)  # the same seven groups tell no more
    assert spearman(a, b, 3).interval is None


def test_a_perfect_order_has_an_interval_with_a_width() -> None:
    found = spearman([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    assert (found.value, found.interval[1]) == (1, 1)
    assert 0 < found.interval[0] < 0.9
    against = spearman([1, 2, 3, 4, 5], [5, 4, 3, 2, 1])
    assert against.interval == (-1, -found.interval[0])


def test_a_constant_ranks_nothing_and_one_pair_is_refused() -> None:
    assert spearman([1, 1, 1, 1], [1, 2, 3, 4]).value is None
    with pytest.raises(ValueError, match="at least 2"):
        spearman([1], [1])


LEVELS = (0.25, 0.5, 0.75)


@pytest.fixture(scope="module")
def model() -> Model:
    """Three layers in a row whose weights are as large in the first as in the others."""
    torch.manual_seed(0)
    return Model(
        "toy",
        nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)),
        (torch.zeros(2, 8),),
    )


def swept(model: Model, granularity: str = "fine_grained", labelled: bool = True) -> Sweep:
    """A sweep whose harm grows with sparsity, and in the order of the layers at each."""
    cells = []
    for i, layer in enumerate(model.graph.layers):
        for level in LEVELS:
            harm = 10 * level + i
            tally = Tally(
                n=10, loss=harm, rise=harm, rise_squares=harm, kl=20 - harm, kl_squares=100, labelled=labelled
            )
            cells.append(Cell(layer.name, level, level, (tally,)))
    return Sweep("toy", "toy", 10, 0.5 if labelled else None, None, granularity, "l1", {}, True, tuple(cells), 0.0, {})


def test_what_a_hint_was_worth(model: Model) -> None:
    found = worth_of("sparsity", swept(model), Ranking(model))
    levels = [level for _ in range(3) for level in LEVELS]
    harm = [10 * level + i for i in range(3) for level in LEVELS]
    assert (found.what, found.over_cells.n) == ("loss rise", 9)
    assert found.over_cells.value == pytest.approx(stats.spearmanr(levels, harm).statistic)
    assert {level: at.value for level, at in found.by_level.items()} == dict.fromkeys(LEVELS)  # it cannot tell layers


def test_across_layers_the_scores_are_of_what_is_masked(model: Model) -> None:
    sweep, ranking = swept(model), Ranking(model)
    found = worth_of("weight_energy", sweep, ranking)
    energies = []
    for layer in model.graph.layers:
        weight, mask = model.graph.weight(layer.name), ranking.mask(layer.name, LayerPlan(sparsity=0.5))
        energies.append(float((weight[~mask] ** 2).sum() / (weight**2).sum()))
    assert [found.scores[layer.name, 0.5] for layer in model.graph.layers] == pytest.approx(energies)
    assert found.by_level[0.5].value == pytest.approx(stats.spearmanr(energies, [0, 1, 2]).statistic)


def test_without_labels_the_kl_is_what_was_measured(model: Model) -> None:
    found = worth_of("sparsity", swept(model, labelled=False), Ranking(model))
    assert found.what == "KL divergence from dense"
    assert found.over_cells.value == pytest.approx(-worth_of("sparsity", swept(model), Ranking(model)).over_cells.value)


def test_of_coupled_channels_the_layers_that_lose_filters_count(model: Model) -> None:
    sweep, ranking = swept(model, "output_channel"), Ranking(model)
    some = replace(sweep, cells=tuple(cell for cell in sweep.cells if cell.layer == "0"))
    found = scores_of("params_share", some, ranking)
    assert found["0", 0.5] == 2 * 8 / model.graph.params  # two of four neurons with eight weights each


def test_refusals(model: Model) -> None:
    with pytest.raises(UnknownName, match="did you mean 'sparsity'"):
        worth_of("sparsty", swept(model), Ranking(model))
    with pytest.raises(DataError, match="cut in different ways"):
        worth_of("sparsity", swept(model, "mixed"), Ranking(model))
    with pytest.raises(DataError, match="this sweep drops activations"):
        worth_of("sparsity", replace(swept(model), target="activations"), Ranking(model))

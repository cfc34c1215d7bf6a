"""Cells: tallies add up, figures and documents are those of the sums, the largest sparsity within a tolerance."""

import json
from math import exp
from pathlib import Path

import pytest
import torch

from pruning_core.errors import DataError, ModelError, PruningError
from pruning_core.intervals import paired_difference, wilson
from pruning_core.sensitivity import Cell, Sweep, Tally, drop_at, largest_within, tally_of
from pruning_core.sensitivity.answers import Answers

A = Tally(n=10, correct=6, gained=1, lost=3, agreeing=6, loss=2.5, kl=0.5, labelled=True)
B = Tally(n=30, correct=24, gained=0, lost=1, agreeing=28, loss=4.5, kl=1.0, labelled=True)


def cell(sparsity: float, drop: float = 0.0, layer: str = "fc", n: int = 1000) -> Cell:
    """A cell that lost `drop` of its examples."""
    lost = round(-drop * n)
    tally = Tally(n, n - lost, max(0, -lost), max(0, lost), n - abs(lost), 1.0, 1.0, labelled=True)
    return Cell(layer, sparsity, sparsity, (tally,))


def test_tallies_add_up_whatever_their_order() -> None:
    total = Tally(40, 30, 1, 4, 34, 7.0, 1.5, labelled=True)
    assert A + B == B + A == total
    assert sum((A, B), Tally()) == total
    assert not (Tally() + Tally(n=3)).labelled


def test_tally_of_counts_by_hand() -> None:
    dense = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 0.0]])  # answers 0 1 0 0
    pruned = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])  # answers 0 0 1 0
    tally = tally_of(pruned, dense, torch.tensor([0, 1, 1, 1]))
    assert (tally.n, tally.correct, tally.gained, tally.lost, tally.agreeing) == (4, 2, 1, 1, 2)
    uneven = tally_of(pruned, dense, torch.tensor([0, 1, 0, 1]))
    assert (uneven.correct, uneven.gained, uneven.lost) == (1, 0, 2)
    right, wrong = 0.126928, 2.126928  # -log of 1 / (1 + e^-2), and of 1 / (1 + e^2)
    assert tally.loss == pytest.approx(2 * right + 2 * wrong, abs=1e-5)
    assert tally.kl == pytest.approx(2 * 2 * (2 * 0.8807971 - 1), abs=1e-5)


def test_tally_without_targets_knows_agreement_and_kl() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    tally = tally_of(logits, logits, None)
    assert tally == Tally(n=5, agreeing=5, kl=tally.kl)
    assert tally.kl == 0.0


def test_the_sum_of_two_chunks_is_the_tally_of_both() -> None:
    generator = torch.Generator().manual_seed(0)
    pruned, dense = torch.randn(2, 50, 4, generator=generator)
    targets = torch.randint(0, 4, (50,), generator=generator)
    parts = [tally_of(pruned[part], dense[part], targets[part]) for part in (slice(0, 20), slice(20, 50))]
    whole, total = tally_of(pruned, dense, targets), parts[0] + parts[1]
    assert (total.correct, total.gained, total.lost) == (whole.correct, whole.gained, whole.lost)
    assert (total.loss, total.kl) == (pytest.approx(whole.loss), pytest.approx(whole.kl))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_outputs_that_are_not_finite_are_refused(value: float) -> None:
    dense = torch.zeros(2, 3)
    with pytest.raises(DataError, match="NaN or infinite"):
        Answers(dense, None).tally(torch.tensor([[0.0, value, 1.0], [0.0, 0.0, 0.0]]))


def test_large_finite_outputs_are_no_reason_to_refuse() -> None:
    assert Answers(torch.zeros(2, 3), None).tally(torch.full((2, 3), 3e38)).agreeing == 2


def test_outputs_of_another_shape_than_the_dense_ones_are_refused() -> None:
    with pytest.raises(ModelError, match=r"shape \(2, 4\); \(2, 3\) is needed"):
        tally_of(torch.zeros(2, 4), torch.zeros(2, 3), None)


def test_figures_of_a_cell() -> None:
    measured = Cell("fc", 0.5, 0.49, (A,), state="preview")
    assert (measured.accuracy, measured.drop) == (0.6, -0.2)
    assert measured.drop_interval == pytest.approx(paired_difference(1, 3, 10))
    unlabelled = Cell("fc", 0.5, 0.49, (Tally(n=10, agreeing=8),), state="preview")
    low, high = wilson(8, 10)
    assert unlabelled.accuracy is None
    assert unlabelled.drop == pytest.approx(-0.2)
    assert unlabelled.drop_interval == pytest.approx((low - 1, high - 1))


def sweep_of(*cells: Cell) -> Sweep:
    return Sweep("net", "data", 10, 0.8, 0.3, "fine_grained", "l1", {}, True, cells, 1.5, {"embed": "no use"})


def test_a_sweep_replaces_cells_and_sorts_those_of_a_layer() -> None:
    sweep = sweep_of(cell(0.5), cell(0.25), cell(0.5, layer="conv"))
    assert [c.sparsity for c in sweep.of_layer("fc")] == [0.25, 0.5]
    changed = sweep.with_cell(cell(0.5, drop=-0.5))
    assert [c.drop for c in changed.of_layer("fc")] == [0.0, -0.5]
    assert len(changed.cells) == 3


def test_the_document_holds_what_the_contract_names(tmp_path: Path) -> None:
    sweep_of(Cell("fc", 0.5, 0.49, (A,))).write(tmp_path / "sweep.json")
    document = json.loads((tmp_path / "sweep.json").read_text())
    assert document["dense"] == {"accuracy": 0.8, "loss": 0.3}
    assert (document["version"], document["metric"], document["exact"]) == (1, "accuracy", True)
    expected = [
        {
            "layer": "fc",
            "sparsity": 0.5,
            "measured_sparsity": 0.49,
            "accuracy": 0.6,
            "loss": 0.25,
            "kl": 0.05,
            "agreement": 0.6,
            "accuracy_interval": list(wilson(6, 10)),
            "n_samples": 10,
            "state": "exact",
            "drop": -0.2,
            "perplexity": pytest.approx(exp(0.25)),
        }
    ]
    assert [{name: cell[name] for name in expected[0]} for cell in document["cells"]] == expected
    low, high = document["cells"][0]["drop_interval"]
    assert (low, high) == pytest.approx(paired_difference(1, 3, 10))


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PruningError, match="cannot write the sweep"):
        sweep_of().write(tmp_path / "nowhere" / "sweep.json")


CURVE = (cell(0.2, 0.0), cell(0.4, -0.01), cell(0.6, -0.03), cell(0.8, -0.01), cell(0.9, -0.5))


@pytest.mark.parametrize(
    ("tolerance", "level"),
    [
        (0.0, 0.2),  # the last without any loss
        (0.005, 0.3),  # half way between no loss and 1 %
        (0.01, 0.4),
        (0.02, 0.5),  # the first crossing counts, though 0.8 lies within again
        (0.03, 0.8 + 0.1 * 0.02 / 0.49),
        (1.0, 0.9),  # never crossed: the highest measured
    ],
)
def test_largest_within(tolerance: float, level: float) -> None:
    assert largest_within(CURVE, tolerance) == pytest.approx(level)
    assert largest_within(CURVE[::-1], tolerance) == pytest.approx(level)


def test_largest_within_of_steps_takes_the_last_measured_one() -> None:
    assert largest_within((cell(0.5, -0.02),), 0.03, steps=(0.0, 0.5)) == 0.5
    assert largest_within((cell(0.5, -0.02),), 0.01, steps=(0.0, 0.5)) == 0.0


def test_largest_within_starts_from_the_dense_layer() -> None:
    assert largest_within((), 0.01) == 0.0
    assert largest_within((cell(0.4, -0.04),), 0.01) == pytest.approx(0.1)
    assert largest_within((cell(0.4, 0.02), cell(0.8, -0.02)), 0.0) == pytest.approx(0.6)


def test_drop_at_lies_on_the_line_from_dense_through_the_cells() -> None:
    cells = tuple(
        Cell("fc1", level, level, (Tally(n=100, correct=90 - lost, lost=lost, labelled=True),))
        for level, lost in ((0.6, 6), (0.2, 2))
    )
    halves = [(high - low) / 2 for low, high in (cell.drop_interval for cell in cells)]
    assert drop_at(cells, 0.1) == (pytest.approx(-0.01), pytest.approx(halves[1] / 2))
    assert drop_at(cells, 0.2) == (pytest.approx(-0.02), pytest.approx(halves[1]))
    assert drop_at(cells, 0.4) == (pytest.approx(-0.04), pytest.approx((halves[0] + halves[1]) / 2))
    assert drop_at(cells, 0.9) == (pytest.approx(-0.06), pytest.approx(halves[0]))  # nothing is known past the last

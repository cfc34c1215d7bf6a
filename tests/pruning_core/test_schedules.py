"""Schedules: exact values, ends, and parity with torch.ao.pruning's CubicSL."""

import re
import warnings
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pruning_core.errors import PlanError, UnknownName
from pruning_core.schedules import SCHEDULES, Schedule

MEMBERS = [pytest.param(member, id=name) for name, member in SCHEDULES.items()]
unhurried = settings(deadline=None, max_examples=60)


def values(name: str, initial: float, final: float, steps: int, **others: float) -> list[float]:
    """Sparsity at steps 0 to `steps`, begin 0, end `steps`."""
    member = SCHEDULES[name]
    span = {"begin_step": 0, "end_step": steps, "initial": initial, "final": final}
    return [member.sparsity(step, **span, **others) for step in range(steps + 1)]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_has_a_label_and_a_source(member: Schedule) -> None:
    assert member.label
    assert re.search(r"(19|20)\d\d, arXiv:\d{4}\.\d{4,5}\)\.$", member.doc)


@pytest.mark.parametrize("member", MEMBERS)
@unhurried
@given(ends=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)).map(sorted), begin=st.integers(0, 50))
def test_a_schedule_starts_and_ends_where_told_and_never_turns_back(
    member: Schedule, ends: list[float], begin: int
) -> None:
    span = {"begin_step": begin, "end_step": begin + 7, "initial": ends[0], "final": ends[1]}
    course = [member.sparsity(step, **span) for step in range(begin - 1, begin + 9)]
    assert (course[0], course[-2], course[-1]) == (ends[0], ends[1], ends[1])
    assert all(later >= earlier - 1e-12 for earlier, later in pairwise(course))
    assert all(ends[0] - 1e-12 <= value <= ends[1] + 1e-12 for value in course)


def test_constant_is_there_at_once() -> None:
    assert values("constant", 0.1, 0.8, 3) == [0.8] * 4
    assert SCHEDULES["constant"].sparsity(4, begin_step=5, end_step=6, initial=0.1, final=0.8) == 0.1


def test_linear_by_hand() -> None:
    assert values("linear", 0.2, 0.8, 3) == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_polynomial_by_hand() -> None:
    assert values("polynomial", 0.0, 0.8, 2) == pytest.approx([0, 0.7, 0.8])
    assert values("polynomial", 0.0, 0.8, 2, power=2) == pytest.approx([0, 0.6, 0.8])


def test_geometric_removes_the_same_share_of_what_remains() -> None:
    assert values("geometric", 0.0, 0.875, 3) == pytest.approx([0, 0.5, 0.75, 0.875])


def test_polynomial_equals_the_cubic_schedule_of_torch() -> None:
    expected = [0, 0.2168, 0.3904, 0.5256, 0.6272, 0.7, 0.7488, 0.7784, 0.7936, 0.7992, 0.8]
    assert values("polynomial", 0.0, 0.8, 10) == pytest.approx(expected)
    assert values("polynomial", 0.0, 0.8, 10) == pytest.approx(cubic_of_torch(0.8, 10))


def cubic_of_torch(final: float, steps: int) -> list[float]:
    """What CubicSL sets the sparsity level to at steps 0 to `steps`."""
    import torch.ao.pruning as ap

    sparsifier = ap.WeightNormSparsifier(sparsity_level=final)
    sparsifier.prepare(nn.Sequential(nn.Linear(4, 4)), [{"tensor_fqn": "0.weight"}])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks for sparsifier.step() first
        schedule = ap.CubicSL(sparsifier, init_sl=0.0, init_t=0, delta_t=1, total_t=steps)
        levels = [sparsifier.groups[0]["sparsity_level"]]
        for _ in range(steps):
            schedule.step()
            levels.append(sparsifier.groups[0]["sparsity_level"])
    return levels


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("linear", {"end_step": 0}, "end_step 0 must come after begin_step 0"),
        ("linear", {"final": 1.5}, "sparsities 0 and 1.5 must lie between 0 and 1"),
        ("geometric", {"final": 1.0}, "a geometric schedule never meets a sparsity of 1"),
        ("polynomial", {"power": 0}, "setting 'power' is 0; it takes a number from 0.5 to 10"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(name: str, changes: dict[str, float], message: str) -> None:
    span = {"begin_step": 0, "end_step": 4, "initial": 0.0, "final": 0.5}
    with pytest.raises(PlanError, match=f"^{message}"):
        SCHEDULES[name].sparsity(1, **span | changes)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"unknown setting 'powr'; did you mean 'power'\?"):
        values("polynomial", 0, 1, 2, powr=3)

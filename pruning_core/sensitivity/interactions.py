"""Interactions: what two rows lose together beyond what each loses alone, for all pairs of some rows.

The dense graph is walked once, and once for each row the graph in which that row is pruned; a pair runs again only what
comes after its later row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor

from pruning_core.errors import Cancelled, PlanError
from pruning_core.evaluate import Progress
from pruning_core.plan import Plan
from pruning_core.sensitivity.answers import Outcomes
from pruning_core.sensitivity.joint import Chunk, Effect, Joint, Sums
from pruning_core.sensitivity.reference import Reference
from pruning_core.sensitivity.replay import Frontier

SAMPLES = 512

Pair = tuple[str, str]


@dataclass(frozen=True)
class Interaction:
    """Two rows on the same n examples. All but `logits` are changes; of accuracy and agreement negative is worse."""

    together: Effect  # of accuracy (agreement without labels), both rows pruned
    beyond: Effect  # that minus the two single changes: below 0 they hurt each other, above 0 they spare each other
    loss: Effect | None  # loss rise together minus the two single rises, in nats; None without labels
    logits: float  # what the two single changes of the logits do not add up to, over their change together; 0: additive


@dataclass(frozen=True)
class InteractionMap:
    """All pairs of `layers`, which stand for their rows, in the order of the graph."""

    n: int
    labelled: bool
    layers: tuple[str, ...]
    singles: dict[str, Effect]
    pairs: dict[Pair, Interaction]

    def of(self, one: str, other: str) -> Interaction:
        """Return the interaction of two layers, in any order."""
        return self.pairs[(one, other) if (one, other) in self.pairs else (other, one)]


def interactions(
    reference: Reference,
    plan: Plan,
    layers: Sequence[str] | None = None,
    *,
    samples: int = SAMPLES,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> InteractionMap:
    """Measure all pairs of `layers` (of all rows when None) as `plan` prunes them, on `samples` validation examples.

    Progress is in outputs. When cancelled, the examples that all pairs have seen count.
    """
    joint = Joint(reference, plan, samples).only(layers)
    names = tuple(joint.changed)
    if len(names) < 2:
        raise PlanError(f"{names[0]}: an interaction needs two rows of layers that are pruned; choose another one too")
    pairs = dict.fromkeys(combinations(names, 2), _PairSums())
    singles = dict.fromkeys(names, Sums())
    done, total = 0, joint.n * (len(names) + len(pairs))

    def tick(n: int) -> None:
        nonlocal done
        if cancelled():
            raise Cancelled("stopped before anything was measured")
        done += n
        on_progress(done, total)

    try:
        for chunk in joint.chunks():
            alone = _alone(joint, chunk, tick)
            found = _pairs(joint, chunk, alone, tick)
            singles = {name: sums + Sums.of(alone[name].outcomes.change) for name, sums in singles.items()}
            pairs = {pair: sums + found[pair] for pair, sums in pairs.items()}
    except Cancelled:
        if not singles[names[0]].n:
            raise
    return InteractionMap(
        n=singles[names[0]].n,
        labelled=joint.labelled,
        layers=names,
        singles={name: sums.of_counts for name, sums in singles.items()},
        pairs={pair: sums.interaction(joint.labelled) for pair, sums in pairs.items()},
    )


@dataclass(frozen=True)
class _Alone:
    """One row pruned alone, on one chunk."""

    outcomes: Outcomes
    logits: Tensor  # less those of the dense model
    frontier: Frontier  # of the dense model, before the first node that the row changes


@dataclass(frozen=True)
class _PairSums:
    """Sums over examples of what one pair does."""

    together: Sums = field(default_factory=Sums)
    beyond: Sums = field(default_factory=Sums)
    loss: Sums = field(default_factory=Sums)
    squares: float = 0.0  # of the change of the logits
    beyond_squares: float = 0.0  # of what of it is not the sum of the two single changes

    def __add__(self, other: "_PairSums") -> "_PairSums":
        return _PairSums(
            self.together + other.together,
            self.beyond + other.beyond,
            self.loss + other.loss,
            self.squares + other.squares,
            self.beyond_squares + other.beyond_squares,
        )

    def interaction(self, labelled: bool) -> Interaction:
        """Return what these sums say."""
        share = (self.beyond_squares / self.squares) ** 0.5 if self.squares else 0.0
        return Interaction(
            self.together.of_counts, self.beyond.of_counts, self.loss.of_values if labelled else None, share
        )


def _alone(joint: Joint, chunk: Chunk, tick: Callable[[int], None]) -> dict[str, _Alone]:
    found = {}
    with torch.inference_mode():
        for name, changed in joint.changed.items():
            tick(len(chunk.answers))
            joint.replay.advance(chunk.frontier, joint.position(name))
            forked = chunk.frontier.copy()  # a fork leaves dense values behind that another row may change
            logits = joint.replay.fork_changed(forked, changed)
            found[name] = _Alone(chunk.answers.outcomes(logits), _centred(logits, chunk), chunk.frontier.copy())
    return found


def _pairs(joint: Joint, chunk: Chunk, alone: dict[str, _Alone], tick: Callable[[int], None]) -> dict[Pair, _PairSums]:
    found, names = {}, tuple(alone)
    with torch.inference_mode():
        for i, one in enumerate(names):
            walk = alone[one].frontier
            for other in names[i + 1 :]:
                tick(len(chunk.answers))
                constants = {**joint.replay.constants, **joint.together((one, other))}
                joint.replay.advance(walk, joint.position(other), constants)  # reads nothing that `other` changes
                logits = joint.replay.outputs(walk, constants)
                found[one, other] = _pair(chunk, logits, alone[one], alone[other])
    return found


def _pair(chunk: Chunk, logits: Tensor, one: _Alone, other: _Alone) -> _PairSums:
    both, change = chunk.answers.outcomes(logits), _centred(logits, chunk)
    beyond = change - one.logits - other.logits
    loss = Sums()
    if both.rise is not None and one.outcomes.rise is not None and other.outcomes.rise is not None:
        loss = Sums.of(both.rise.double() - one.outcomes.rise.double() - other.outcomes.rise.double())
    return _PairSums(
        Sums.of(both.change),
        Sums.of(both.change - one.outcomes.change - other.outcomes.change),
        loss,
        float(change.square().sum()),
        float(beyond.square().sum()),
    )


def _centred(logits: Tensor, chunk: Chunk) -> Tensor:
    """Return the change of the logits, without what is the same for all classes, which answers do not depend on."""
    change = logits.double() - chunk.answers.logits.double()
    return change - change.mean(-1, keepdim=True)

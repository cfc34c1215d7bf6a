"""Which evaluator runs which forks: timed once at some places of the graph, written down, and kept to.

A choice is a plain mapping: from this place in the graph on (as text, so that JSON can hold it) this evaluator. Answers
of different evaluators differ in their last digits, so a sweep that goes on goes on with the choice it began with.
"""

from collections.abc import Iterable, Mapping, Sequence
from time import thread_time

from torch import Tensor

from pruning_core.sensitivity.evaluators.rows import Rows
from pruning_core.sensitivity.evaluators.seam import EVALUATORS, CannotRun, Evaluator
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.steps import Values

TORCH = "torch"
PLACES = 6  # of the graph at most, at which all evaluators are timed
EXAMPLES = 32  # enough to time a fork on
RUNS = 2  # timed at each place, after one that is not


class ChosenEvaluator:
    """Runs each fork by the evaluator that is chosen for its place; by torch where that one cannot."""

    def __init__(self, replay: Replay, choice: Mapping[str, str]) -> None:
        self.replay = replay
        self._places = sorted((int(place), name) for place, name in choice.items())
        self._rows = Rows(replay)
        self._made: dict[str, Evaluator] = {TORCH: EVALUATORS[TORCH].make(replay)}
        self.refusals: dict[int, str] = {}  # place in the graph -> why torch runs the forks from there

    def fork(self, frontier: Frontier, changed: Values) -> Tensor:
        """Return the output (batch, ...) with the constants `changed`."""
        place = self.replay.route(changed).position
        changed = self._rows.reduce(frontier, changed)
        name = self.name_at(place)
        if place not in self.refusals:
            try:
                return self._evaluator(name).fork(frontier, changed)
            except CannotRun as error:
                self.refusals[place] = f"{name}: {error}"
        return self._evaluator(TORCH).fork(frontier, changed)

    def name_at(self, place: int) -> str:
        """Return what is chosen for forks at a place: what the last timed place before it has, else the first."""
        before = [name for start, name in self._places if start <= place]
        return before[-1] if before else next((name for _, name in self._places), TORCH)

    def _evaluator(self, name: str) -> Evaluator:
        if name not in self._made:
            self._made[name] = EVALUATORS[name].make(self.replay)
        return self._made[name]


def best(replay: Replay, choice: Mapping[str, str]) -> ChosenEvaluator:
    """Return the evaluator that keeps to `choice`; an empty one means torch everywhere."""
    return ChosenEvaluator(replay, choice)


def choose(
    replay: Replay, frontier: Frontier, forks: Sequence[Values], names: Iterable[str] | None = None
) -> dict[str, str]:
    """Time the exact evaluators (or `names`) on some of `forks` (changed constants each) and return the choice.

    `frontier` holds about `EXAMPLES` examples before the first of the forks, and stays there.
    """
    makers = {name: EVALUATORS[name].make(replay) for name in names or _exact()}
    by_place = {replay.route(changed).position: changed for changed in forks}
    places, choice, walked = sorted(by_place), dict[str, str](), frontier.copy()
    for place in _spread(places):
        replay.advance(walked, place)
        seconds = {name: _seconds(made, walked, by_place[place]) for name, made in makers.items()}
        timed = {name: found for name, found in seconds.items() if found is not None}
        choice[str(place)] = min(timed, key=lambda name: timed[name])
    return choice


def _exact() -> list[str]:
    return [name for name, kind in EVALUATORS.items() if kind.is_exact]


def _spread(places: Sequence[int]) -> list[int]:
    """Return at most `PLACES` of them, evenly spread, the first one included."""
    n = min(PLACES, len(places))
    return [places[i * len(places) // n] for i in range(n)]


def _seconds(made: Evaluator, frontier: Frontier, changed: Values) -> float | None:
    """Return the processor time of one fork, or None where it cannot be run."""
    try:
        made.fork(frontier, changed)
    except CannotRun:
        return None
    found = []
    for _ in range(RUNS):
        started = thread_time()
        made.fork(frontier, changed)
        found.append(thread_time() - started)
    return min(found)

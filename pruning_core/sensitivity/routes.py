"""`Routes`: which steps depend on which constants, and after which step a value is needed no more."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pruning_core.sensitivity.steps import Step


@dataclass(frozen=True)
class Route:
    """What some constants change: the steps to run again, after each the values that nothing later needs.

    `beside` are the steps after the first of them that do not depend on the constants, but that the branch reads.
    `reads` are the places of all values that are needed besides what the steps make and what changed.
    """

    steps: tuple[int, ...]
    dies: tuple[tuple[int, ...], ...]
    beside: tuple[int, ...]
    reads: tuple[int, ...]
    position: int  # of the first step, or the end
    macs: int  # of all steps


class Routes:
    """The routes through `steps`, each found once; `macs` are those of each step."""

    def __init__(self, steps: Mapping[int, Step], macs: Mapping[int, int], output: int, end: int) -> None:
        self.steps, self.macs, self.output, self.end = steps, macs, output, end
        self.dies = self._last_uses(steps)
        self._known: dict[frozenset[int], Route] = {}

    def of(self, constants: Iterable[int]) -> Route:
        """Return what must run again when these constants change."""
        key = frozenset(constants)
        if key not in self._known:
            self._known[key] = self._find(key)
        return self._known[key]

    def position_of(self, constants: Iterable[int]) -> int:
        """Return the place of the first node that reads one of these constants."""
        wanted = frozenset(constants)
        return next((i for i, step in self.steps.items() if not wanted.isdisjoint(step.inputs)), self.end)

    def _find(self, constants: frozenset[int]) -> Route:
        changed = set(constants)
        for i, step in self.steps.items():
            if changed.intersection(step.inputs):
                changed.add(i)
        steps = tuple(i for i in self.steps if i in changed and i not in constants)  # a value may be given too
        last = self._last_uses({i: self.steps[i] for i in steps})
        dies = tuple(tuple(j for j in last.get(i, ()) if j in changed and j in self.steps) for i in steps)
        macs = sum(self.macs[i] for i in steps)
        reads = sorted({self.output, *(j for i in steps for j in self.steps[i].inputs)} - changed)
        beside = self._beside(steps, changed)
        return Route(steps, dies, beside, tuple(reads), steps[0] if steps else self.end, macs)

    def _beside(self, steps: tuple[int, ...], changed: set[int]) -> tuple[int, ...]:
        found: set[int] = set()
        for i in reversed([i for i in self.steps if i > min(steps, default=self.end)]):
            if i in changed or i in found:
                found.update(j for j in self.steps[i].inputs if j in self.steps and j not in changed)
        return tuple(sorted(i for i in found if i > min(steps)))

    def _last_uses(self, steps: Mapping[int, Step]) -> dict[int, list[int]]:
        last = {j: i for i, step in steps.items() for j in step.inputs if j != self.output}
        dies: dict[int, list[int]] = {}
        for j, i in last.items():
            dies.setdefault(i, []).append(j)
        return dies

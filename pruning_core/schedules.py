"""SEAM schedules: how much is removed at which training step.

A member is a function `(step, *, begin_step, end_step, initial, final, settings) -> sparsity`, given a step from
begin up to, not at, the end. Adding one: write the function, decorate it with `@schedule(...)`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from pruning_core.errors import PlanError
from pruning_core.registry import Registry, Setting, SettingSpec, check_settings, settings_of

_SPAN = frozenset({"begin_step", "end_step", "initial", "final"})  # what every schedule is told
ScheduleFunction = Callable[..., float]


@dataclass(frozen=True)
class Schedule:
    """One member of the seam."""

    name: str
    label: str
    function: ScheduleFunction
    settings: dict[str, SettingSpec] = field(default_factory=dict)

    @property
    def doc(self) -> str:
        """The first line of the member's docstring: the formula and its source."""
        return (self.function.__doc__ or "").split("\n")[0].strip()

    def sparsity(
        self, step: int, *, begin_step: int, end_step: int, initial: float, final: float, **settings: Any
    ) -> float:
        """Return the sparsity at `step`: `initial` before `begin_step`, `final` from `end_step` on."""
        if end_step <= begin_step:
            raise PlanError(f"end_step {end_step} must come after begin_step {begin_step}")
        if not (0 <= initial <= 1 and 0 <= final <= 1):
            raise PlanError(f"sparsities {initial:g} and {final:g} must lie between 0 and 1")
        checked = check_settings(self.settings, settings)
        if not begin_step <= step < end_step:
            return initial if step < begin_step else final
        span = {"begin_step": begin_step, "end_step": end_step, "initial": initial, "final": final}
        return self.function(step, **span, **checked)


SCHEDULES: Registry[Schedule] = Registry("schedule")


def schedule(name: str, *, label: str) -> Callable[[ScheduleFunction], ScheduleFunction]:
    """Add a schedule to the seam."""

    def add(function: ScheduleFunction) -> ScheduleFunction:
        own = {key: spec for key, spec in settings_of(function).items() if key not in _SPAN}
        SCHEDULES.add(name, Schedule(name, label, function, own))
        return function

    return add


@schedule("constant", label="At once")
def constant(step: int, *, begin_step: int, end_step: int, initial: float, final: float) -> float:
    """All of it from the first step on (one shot: Han et al. 2015, arXiv:1506.02626)."""
    return final


@schedule("linear", label="Linear")
def linear(step: int, *, begin_step: int, end_step: int, initial: float, final: float) -> float:
    """The same share of the dense model at every step (polynomial of power 1: Zhu and Gupta 2017, arXiv:1710.01878)."""
    return polynomial(step, begin_step=begin_step, end_step=end_step, initial=initial, final=final, power=1)


@schedule("polynomial", label="Polynomial")
def polynomial(
    step: int,
    *,
    begin_step: int,
    end_step: int,
    initial: float,
    final: float,
    power: Annotated[float, Setting(0.5, 10, step=0.5)] = 3,
) -> float:
    """s_f + (s_i - s_f) (1 - (t - t_0) / (t_n - t_0))^power, fast then slow (Zhu and Gupta 2017, arXiv:1710.01878)."""
    left = 1 - (step - begin_step) / (end_step - begin_step)
    return float(final + (initial - final) * left**power)


@schedule("geometric", label="Geometric")
def geometric(step: int, *, begin_step: int, end_step: int, initial: float, final: float) -> float:
    """Every step removes the same share of what remains (rounds of Frankle and Carbin 2019, arXiv:1803.03635)."""
    if max(initial, final) == 1:
        raise PlanError("a geometric schedule never meets a sparsity of 1, since a share of what remains always stays")
    progress = (step - begin_step) / (end_step - begin_step)
    return float(1 - (1 - initial) * ((1 - final) / (1 - initial)) ** progress)

"""Seams: a `Registry` of named members, and the settings that a member declares in its signature."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from pruning_core.errors import PlanError, UnknownName

T = TypeVar("T")
NAMES_SHOWN = 100


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence: `; did you mean 'l1'?` or the list of what is known."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1) or [known for known in names if known.startswith(name)][:1]
    if close:
        return f"did you mean '{close[0]}'?"
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"known: {', '.join(names[:NAMES_SHOWN]) or 'none'}{more}"


class Registry(Mapping[str, T], Generic[T]):
    """Members of one seam by name; the only list of them (screen, command line and docs read it)."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._members: dict[str, T] = {}

    def add(self, name: str, member: T) -> T:
        """Add `member`; a name that is taken is a defect of the program."""
        if name in self._members:
            raise ValueError(f"{self.kind} '{name}' is registered twice")
        self._members[name] = member
        return member

    def __getitem__(self, name: str) -> T:
        if name not in self._members:
            raise UnknownName(f"unknown {self.kind} '{name}'; {suggestion(name, self._members)}")
        return self._members[name]

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


@dataclass(frozen=True)
class Setting:
    """Bounds of a number that a member takes, written in its signature: `Annotated[int, Setting(1, 64)]`."""

    minimum: float
    maximum: float
    step: float = 1


@dataclass(frozen=True)
class SettingSpec:
    """One declared setting: what a screen needs to draw it and a plan to check it."""

    name: str
    kind: type
    default: Any
    bounds: Setting | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> Any:
        """Return `value` in its kind, or refuse it in a sentence."""
        if self.choices:
            if value not in self.choices:
                raise PlanError(f"setting '{self.name}' is {value!r}; {suggestion(str(value), self.choices)}")
            return value
        whole = self.kind is not int or isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not whole:
            raise PlanError(f"setting '{self.name}' is {value!r}; it takes {self._range()}")
        if self.bounds and not self.bounds.minimum <= value <= self.bounds.maximum:
            raise PlanError(f"setting '{self.name}' is {value}; it takes {self._range()}")
        return self.kind(value)

    def _range(self) -> str:
        kind = "a whole number" if self.kind is int else "a number"
        return f"{kind} from {self.bounds.minimum:g} to {self.bounds.maximum:g}" if self.bounds else kind


def settings_of(function: Callable[..., Any]) -> dict[str, SettingSpec]:
    """Return the settings declared by the keyword-only parameters of `function`."""
    hints = get_type_hints(function, include_extras=True)
    specs = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            specs[name] = _spec(name, hints[name], parameter.default)
    return specs


def check_settings(specs: Mapping[str, SettingSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `given` settings, each checked; one that `specs` does not declare is refused with the name meant."""
    for name in given:
        if name not in specs:
            raise UnknownName(f"unknown setting '{name}'; {suggestion(name, specs)}")
    return {name: specs[name].check(value) for name, value in given.items()}


def _spec(name: str, hint: Any, default: Any) -> SettingSpec:
    if get_origin(hint) is Literal:
        return SettingSpec(name, str, default, choices=get_args(hint))
    kind, *extras = get_args(hint) or (hint,)
    bounds = next((extra for extra in extras if isinstance(extra, Setting)), None)
    return SettingSpec(name, kind, default, bounds)

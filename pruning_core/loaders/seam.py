"""What a loader is, and the two registries of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pruning_core.data import Dataset, Preprocessing
from pruning_core.errors import PruningError, UnknownName
from pruning_core.loaders.options import PREPARING, split, with_options
from pruning_core.loaders.preparing import fitted, preset
from pruning_core.loaders.trusted import is_trusted, trust
from pruning_core.model import Model
from pruning_core.refusals import refused
from pruning_core.registry import Registry, suggestion

__all__ = ["DATA_LOADERS", "MODEL_LOADERS", "Loader", "data_loader", "find_data", "find_model", "load_data",
           "load_model", "load_untrained", "model_loader", "preset"]  # fmt: skip

T = TypeVar("T")
LoadData = Callable[[str, Model | None], Dataset]


@dataclass(frozen=True)
class Loader(Generic[T]):
    """One member of a seam: `names` lists what it can load by name, `form` shows how such a name is written."""

    name: str
    form: str
    can_load: Callable[[str], bool]
    load: Callable[..., T]  # (spec), of data (spec, model or None)
    names: Callable[[], Iterable[tuple[str, str]]]  # (name, title)
    takes: frozenset[str] | None = frozenset()  # options that its names may have; None where it passes them on
    runs_code: bool = False  # whether opening runs what the file or module says; then only what was trusted is opened
    refusal: str = "E248"  # code of what is not trusted
    untrained: Callable[[str, int | None], Model] | None = None  # (name, classes or None) -> random weights of seed 0


MODEL_LOADERS: Registry[Loader[Model]] = Registry("model loader")
DATA_LOADERS: Registry[Loader[Dataset]] = Registry("data loader")


def _nothing() -> Iterable[tuple[str, str]]:
    return ()


def model_loader(
    name: str,
    *,
    form: str,
    can_load: Callable[[str], bool],
    names: Callable[[], Iterable[tuple[str, str]]] = _nothing,
    takes: Iterable[str] | None = (),
    runs_code: bool = False,
    refusal: str = "E248",
    untrained: Callable[[str, int | None], Model] | None = None,
) -> Callable[[Callable[[str], Model]], Callable[[str], Model]]:
    """Add a function `(spec) -> Model` to the seam."""

    def add(function: Callable[[str], Model]) -> Callable[[str], Model]:
        options = None if takes is None else frozenset(takes)
        loader = Loader(name, form, can_load, function, names, options, runs_code, refusal, untrained)
        MODEL_LOADERS.add(name, loader)
        return function

    return add


def data_loader(
    name: str,
    *,
    form: str,
    can_load: Callable[[str], bool],
    names: Callable[[], Iterable[tuple[str, str]]] = _nothing,
    takes: Iterable[str] | None = PREPARING,
    runs_code: bool = False,
    refusal: str = "E248",
) -> Callable[[LoadData], LoadData]:
    """Add a function `(spec, model or None) -> Dataset` to the seam; it may read as the model takes it."""

    def add(function: LoadData) -> LoadData:
        options = None if takes is None else frozenset(takes)
        DATA_LOADERS.add(name, Loader(name, form, can_load, function, names, options, runs_code, refusal))
        return function

    return add


def load_model(
    spec: str,
    *,
    architecture: str | None = None,
    accept: Iterable[str] = (),
    input_shape: str | None = None,
    trusted: bool = False,
) -> Model:
    """Load a model by a sample's name, `torchvision:NAME`, a file or what else `pruning-explorer list models` names.

    `architecture` says what weights in a file belong to, `accept` names the weights that may differ from it,
    `input_shape` is written `3x224x224`. `trusted` lets this file or module run code, here and in worker processes.
    """
    spec = with_options(spec, {"as": architecture, "accept": ",".join(accept), "input": input_shape})
    if trusted:
        trust(spec)
    return find_model(spec).load(spec)


def load_untrained(spec: str, n_classes: int | None = None) -> Model:
    """Load the architecture that `spec` names, with random weights of seed 0, and so many classes where it can."""
    loader = find_model(spec)
    if loader.untrained is None:
        raise UnknownName(f"'{spec}' is no architecture; name a sample, torchvision:NAME, timm:NAME or hf:NAME")
    return loader.untrained(spec, n_classes)


def load_data(
    spec: str, preprocessing: Preprocessing | None = None, model: Model | None = None, *, trusted: bool = False
) -> Dataset:
    """Load data by a sample's name, a file or folder, or what else `pruning-explorer list data` names.

    Data are read as `model` takes them. `preprocessing` replaces what the text says (`digits.npz+preset@mnist`), which
    replaces the data's own; data that say nothing of theirs are prepared as `model` was trained, where that is known.
    `trusted` lets this function run, here and in worker processes.
    """
    if trusted:
        trust(spec)
    dataset = find_data(spec).load(spec, model)
    return fitted(dataset, split(spec)[1], preprocessing, model)


def find_model(spec: str) -> Loader[Model]:
    """Return the loader whose turn it is, or say what was meant."""
    return _find(MODEL_LOADERS, "model", spec)


def find_data(spec: str) -> Loader[Dataset]:
    """Return the loader whose turn it is, or say what was meant."""
    return _find(DATA_LOADERS, "data", spec)


def _find(loaders: Registry[Loader[T]], what: str, spec: str) -> Loader[T]:
    for loader in loaders.values():
        if loader.can_load(spec):
            _check_options(loader, spec)
            if loader.runs_code and not is_trusted(spec):
                raise _untrusted(loaders, what, spec, loader.refusal)
            return loader
    raise UnknownName(f"unknown {what} '{spec}'; {_meant(loaders, spec)}")


def _check_options(loader: Loader[T], spec: str) -> None:
    _, given = split(spec)
    for option in given:
        if loader.takes is not None and option not in loader.takes:
            raise UnknownName(f"'{spec}' is loaded as {loader.form}, which takes no +{option}@; leave it out")


def _untrusted(loaders: Registry[Loader[T]], what: str, spec: str, code: str) -> PruningError:
    """Return the refusal of what would run code; a name that is only misspelt is told so."""
    meant = _meant(loaders, spec)
    if meant.startswith("did you mean"):
        return UnknownName(f"unknown {what} '{spec}'; {meant}")
    return refused(code, f"'{spec}' runs code when it is opened, and nobody has said that it is trusted")


def _meant(loaders: Registry[Loader[T]], spec: str) -> str:
    """Return the end of a refusal: the name that was meant, else the forms that a name can take."""
    for loader in loaders.values():
        known = {name: name for name, _ in loader.names()} | {title: name for name, title in loader.names()}
        exact = known.get(spec)
        hint = f"did you mean '{exact}'?" if exact else suggestion(spec.lower(), set(known.values()))
        if hint.startswith("did you mean"):
            return hint
    return f"it can be {', '.join(loader.form for loader in loaders.values())}"

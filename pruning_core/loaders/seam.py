"""What a loader is, and the two registries of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pruning_core.data import Dataset, Preprocessing
from pruning_core.errors import UnknownName
from pruning_core.model import Model
from pruning_core.registry import Registry, suggestion

T = TypeVar("T")


@dataclass(frozen=True)
class Loader(Generic[T]):
    """One member of a seam: `names` lists what it can load by name, `form` shows how such a name is written."""

    name: str
    form: str
    can_load: Callable[[str], bool]
    load: Callable[[str], T]
    names: Callable[[], Iterable[tuple[str, str]]]  # (name, title)


MODEL_LOADERS: Registry[Loader[Model]] = Registry("model loader")
DATA_LOADERS: Registry[Loader[Dataset]] = Registry("data loader")


def _nothing() -> Iterable[tuple[str, str]]:
    return ()


def model_loader(
    name: str, *, form: str, can_load: Callable[[str], bool], names: Callable[[], Iterable[tuple[str, str]]] = _nothing
) -> Callable[[Callable[[str], Model]], Callable[[str], Model]]:
    """Add a function `(spec) -> Model` to the seam."""

    def add(function: Callable[[str], Model]) -> Callable[[str], Model]:
        MODEL_LOADERS.add(name, Loader(name, form, can_load, function, names))
        return function

    return add


def data_loader(
    name: str, *, form: str, can_load: Callable[[str], bool], names: Callable[[], Iterable[tuple[str, str]]] = _nothing
) -> Callable[[Callable[[str], Dataset]], Callable[[str], Dataset]]:
    """Add a function `(spec) -> Dataset` to the seam."""

    def add(function: Callable[[str], Dataset]) -> Callable[[str], Dataset]:
        DATA_LOADERS.add(name, Loader(name, form, can_load, function, names))
        return function

    return add


def load_model(spec: str) -> Model:
    """Load a model by a sample's name or `torchvision:NAME`; in evaluation mode."""
    return _find(MODEL_LOADERS, "model", spec).load(spec)


def load_data(spec: str, preprocessing: Preprocessing | None = None) -> Dataset:
    """Load data by a sample's name or as `file.npz` with `x` and `y`; `preprocessing` replaces the data's own."""
    dataset = _find(DATA_LOADERS, "data", spec).load(spec)
    return dataset.with_preprocessing(preprocessing) if preprocessing else dataset


def _find(loaders: Registry[Loader[T]], what: str, spec: str) -> Loader[T]:
    for loader in loaders.values():
        if loader.can_load(spec):
            return loader
    known = [name for loader in loaders.values() for name, _ in loader.names()]
    forms = ", ".join(loader.form for loader in loaders.values())
    hint = suggestion(spec, known)
    raise UnknownName(f"unknown {what} '{spec}'; {hint if hint.startswith('did') else f'it can be {forms}'}")

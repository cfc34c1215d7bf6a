"""Models, data and references by name, ready to be shared: the server and each of its workers keep a few."""

import gc
from dataclasses import dataclass
from functools import cache

import pruning_core as pc
from pruning_core.errors import DataError


@dataclass(frozen=True)
class Subject:
    """What a job works on: names, and the hashes of what the server holds under them."""

    model: str
    data: str | None
    hashes: tuple[str, str]


def subject(reference: pc.Reference, model: str, data: str | None) -> Subject:
    """Return the subject of a reference that was loaded by these names."""
    return Subject(model, data, _hashes(reference))


def _hashes(reference: pc.Reference) -> tuple[str, str]:
    return reference.model.sha256, reference.dataset.validation.sha256 if reference.dataset else ""


def model(spec: str) -> pc.Model:
    """Return the model named `spec`, traced."""
    loaded = pc.load_model(spec)
    _ = loaded.graph, loaded.sha256
    _set_imports_aside()
    return loaded


@cache
def _set_imports_aside() -> None:
    """Spare the collector torch's half a million objects, once all of them are imported: they live for ever."""
    gc.collect()
    gc.freeze()


def dataset(spec: str, model: pc.Model) -> pc.Dataset:
    """Return the data named `spec`, prepared as it says, or as the model wants it where it does not say."""
    return pc.load_data(spec, model=model)


def reference(model: pc.Model, dataset: pc.Dataset | None) -> pc.Reference:
    """Return the dense model's side of every comparison."""
    found = pc.Reference(model, dataset)
    _ = found.replay, found.structure.storage
    return found


class Shelf:
    """The references used last, for a process of its own."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._models: dict[str, pc.Model] = {}
        self._references: dict[Subject, pc.Reference] = {}

    def reference(self, wanted: Subject) -> pc.Reference:
        """Return the reference of `wanted`; what is another one by now under the same names is refused."""
        found = self._references.pop(wanted, None) or self._load(wanted)
        self._references[wanted] = found
        while len(self._references) > self._kept:
            self._references.pop(next(iter(self._references)))
        used = {subject.model for subject in self._references}
        self._models = {name: loaded for name, loaded in self._models.items() if name in used}
        return found

    def _load(self, wanted: Subject) -> pc.Reference:
        loaded = self._models.get(wanted.model)
        if loaded is None or loaded.sha256 != wanted.hashes[0]:
            loaded = self._models[wanted.model] = model(wanted.model)
        found = reference(loaded, dataset(wanted.data, loaded) if wanted.data else None)
        if _hashes(found) != wanted.hashes:
            names = f"'{wanted.model}'" + (f" or '{wanted.data}'" if wanted.data else "")
            raise DataError(
                f"{names} has changed since the app opened it; start the app again to use what is there now"
            )
        return found

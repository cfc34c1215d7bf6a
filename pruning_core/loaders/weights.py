"""A model from weights by name and the architecture that they belong to."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from pruning_core.errors import ModelError
from pruning_core.guard.shown import shown
from pruning_core.loaders import fill
from pruning_core.loaders.options import split
from pruning_core.loaders.seam import load_untrained
from pruning_core.loaders.untrained import examples
from pruning_core.loaders.unwrap import unwrap
from pruning_core.model import Model
from pruning_core.refusals import refused

OPTIONS = ("as", "accept", "input")
Read = Callable[[str], Mapping[Any, Any]]
SHOWN = 3


def load_weights(spec: str, read: Read) -> Model:
    """Load the file that `spec` names into the architecture that it names; its note says what matched."""
    path, options = split(spec)
    state, said = unwrap(read(existing(path)))
    file = Path(path).name
    if "as" not in options:
        first = ", ".join(map(shown, list(state)[:SHOWN]))
        raise refused("E240", f"'{file}' holds {len(state)} weights ({first}, ...) but not what is computed with them")
    accept = [name for name in options.get("accept", "").split(",") if name]
    model, found, prefixes = _fitting(options["as"], state, accept, file)
    done = fill.fill(model.module, found, accept)
    note = f"the weights of '{file}' in {options['as']}: {'; '.join((*done, *said, *prefixes))}"
    return replace(model, name=spec, note=note, example_inputs=examples(options.get("input"), model.example_inputs))


def existing(path: str) -> str:
    """Return the path of a file that is there, or refuse it."""
    if not Path(path).exists():
        raise ModelError(f"cannot read '{path}': there is no such file")
    if not Path(path).is_file():
        raise refused("E619", f"cannot read '{path}': it is no file")
    return path


def _fitting(
    architecture: str, state: dict[str, Tensor], accept: list[str], file: str
) -> tuple[Model, dict[str, Tensor], tuple[str, ...]]:
    """Return the architecture, with as many classes as the file has, and the state under its names, or refuse."""
    model = load_untrained(architecture)
    named, said = fill.aligned(state, model.module)
    found = fill.difference(named, model.module)
    n_classes = None if accept else found.classes()
    if n_classes is not None and not found.missing and not found.unknown:
        other = load_untrained(architecture, n_classes)
        if not fill.difference(named, other.module).names:
            return other, named, (*said, f"{n_classes} classes, as in the file")
    fill.check(found, accept, file, architecture)
    return model, named, said

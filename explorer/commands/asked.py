"""What was asked for on the command line, as the library takes it: models, data, wishes, numbers."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from explorer.commands import shown
from pruning_core.criteria import split_settings
from pruning_core.data import Dataset, Preprocessing, check_fits
from pruning_core.errors import DataError, PruningError, UnknownName
from pruning_core.loaders import find_data, find_model, load_data, load_model
from pruning_core.loaders.factory import is_factory
from pruning_core.loaders.options import NORMS, split, with_options
from pruning_core.loaders.suggest import suggest_preprocessing
from pruning_core.loaders.trusted import trust
from pruning_core.model import Model
from pruning_core.plan import LayerPlan

N_M = re.compile(r"(\d+):(\d+)")
NAMES_SHOWN = 40
TRIED = 64  # examples on which the preparation of data is looked at


@dataclass(frozen=True)
class Inputs:
    """The model and the data of a command; both are loaded when first asked for."""

    model_name: str
    data_name: str | None
    mean: str | None
    std: str | None
    scale: float | None
    samples: int | None

    @cached_property
    def model(self) -> Model:
        """The model; a doubtful data name is refused before it is loaded."""
        if self.data_name:
            find_data(self.data_name)
        loaded = load_model(self.model_name)
        if loaded.note and find_model(self.model_name).name != "sample":
            shown.note(f"{loaded.name}: {loaded.note}")
        return loaded

    @property
    def dataset(self) -> Dataset:
        """The data, or the model's own where none was named, or a refusal."""
        if self.known_dataset is None:
            raise DataError(f"'{self.model_name}' comes without data; name some with --data")
        return self.known_dataset

    @cached_property
    def known_dataset(self) -> Dataset | None:
        """The data, or the model's own where none was named; None for a model that has none."""
        name = self.data_name or self.model.data_name
        if name is None:
            return None
        found = load_data(name, self.preprocessing, self.model)
        if find_data(name).name != "sample":
            self._say(found)
        return found

    def _say(self, dataset: Dataset) -> None:
        """Say what was done to data that are no sample, and what would work far better, where that is found."""
        if dataset.note:
            shown.note(dataset.note)
        if not dataset.validation.tokens:
            shown.note(f"the inputs are prepared as {dataset.validation.preprocessing}")
        check_fits(dataset.validation, self.model.graph)
        for finding in suggest_preprocessing(self.model, dataset, TRIED):
            shown.note(finding.sentence)

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What --scale, --mean and --std say, or None when none of them was given."""
        if self.mean is None and self.std is None and self.scale is None:
            return None
        mean, std = numbers("--mean", self.mean or "0"), numbers("--std", self.std or "1")
        return Preprocessing(1.0 if self.scale is None else self.scale, mean, std)


def model_spec(
    model: str | None, architecture: str | None, accept: list[str] | None, shape: str | None, trusted: list[str] | None
) -> str:
    """Return the text for the model and what was said of it; what was typed here as a function or trusted may run."""
    given = {"as": architecture, "accept": ",".join(accept or ()), "input": shape}
    if model is None:
        if any(given.values()) or trusted:
            raise PruningError("no model was named, but options of one were given; name it first")
        return ""
    for path in trusted or ():
        if not Path(path).is_file():
            raise PruningError(f"--trust-file '{path}' is no file; give the path of the file that MODEL names")
        trust(path)
        shown.note(f"{path} is trusted: opening it may run code")
    spec = with_options(model, given)
    for part in spec.split(NORMS):
        _trust_typed(part)
    return spec


def data_spec(
    data: str | None,
    target_column: str | None = None,
    preset: str | None = None,
    resize: str | None = None,
    channel_order: str | None = None,
) -> str | None:
    """Return the text for the data, or None; what was typed here as a function may run."""
    options = {"y": target_column, "preset": preset, "resize": resize, "channels": channel_order}
    if data is None:
        if target_column is not None:
            raise PruningError("--target-column names a column of a table; name the table with --data")
        if any(options.values()):
            raise PruningError("--preset, --resize and --channel-order are of data; name them with --data")
        return None
    _trust_typed(data)
    return with_options(data, options)


def _trust_typed(spec: str) -> None:
    name, options = split(spec)
    for typed in (name, options.get("as", "")):
        if is_factory(typed):
            trust(typed)


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Return the numbers in `0.1,0.2`, or refuse in a sentence that names the option."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise PruningError(f"{option} '{text}' is not a list of numbers; write them as 0.1,0.2") from None


def wish(granularity: str, criterion: str, settings: list[str] | None) -> LayerPlan:
    """Return the checked wish, at sparsity 0; `2:4` is short for n_m with n=2 and m=4."""
    given = dict(setting(text) for text in settings or ())
    if pattern := N_M.fullmatch(granularity):
        granularity, given = "n_m", {"n": int(pattern[1]), "m": int(pattern[2])} | given
    split_settings(granularity, criterion, given)
    return LayerPlan(granularity=granularity, criterion=criterion, settings=given)


def setting(text: str) -> tuple[str, int | float | str]:
    """Return name and value of `n=2`, or refuse it."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise PruningError(f"--setting '{text}' has no name or no value; write it as n=2")
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


def selection(text: str) -> tuple[str, float]:
    """Return name and number of `threshold=0.01`, or refuse it."""
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise PruningError(f"--select '{text}' has no name or no number; write it as threshold=0.01") from None


def layers_matching(model: Model, pattern: str | None) -> tuple[str, ...] | None:
    """Return the names of the layers in which `pattern` is found; None for no pattern, which means all."""
    if pattern is None:
        return None
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise PruningError(f"--layers '{pattern}' is not a regular expression: {error}") from None
    names = [layer.name for layer in model.graph.layers]
    found = tuple(name for name in names if expression.search(name))
    if not found:
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        raise UnknownName(f"--layers '{pattern}' matches no layer; there are {', '.join(names[:NAMES_SHOWN])}{more}")
    return found

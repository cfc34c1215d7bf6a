"""Pictures in folders: `train/cat/1.png`, `cat/1.png` or `1.png`. The folder names the class."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from pruning_core.data import Dataset, EvalData
from pruning_core.guard.pictures import is_picture
from pruning_core.loaders.options import split
from pruning_core.loaders.pictures import Picture, decode, format_for
from pruning_core.loaders.splits import dataset_of, split_named
from pruning_core.model import Model
from pruning_core.refusals import refused

Read = Callable[[str], bytes]


@dataclass(frozen=True)
class Found:
    """Where a picture is, its split or "all", and the folder that names its class, or None."""

    name: str
    split: str
    folder: str | None


def placed(names: Iterable[str]) -> list[Found]:
    """Return what the paths of pictures say; other files are left out, and so are folders around all of them."""
    paths = [PurePosixPath(name) for name in sorted(names) if is_picture(name)]
    tops = _wrappers(paths)
    inner = [path.parts[tops:] for path in paths]
    in_splits = bool(inner) and all(len(parts) > 1 and split_named(parts[0]) for parts in inner)
    return [_placed(path, parts, in_splits) for path, parts in zip(paths, inner, strict=True)]


def _wrappers(paths: Sequence[PurePosixPath]) -> int:
    """Return how many folders hold all others, and say nothing."""
    n = 0
    while (
        all(len(path.parts) > n + 2 for path in paths)
        and len({path.parts[n] for path in paths}) == 1
        and not split_named(paths[0].parts[n])
    ):
        n += 1
    return n


def _placed(path: PurePosixPath, parts: tuple[str, ...], in_splits: bool) -> Found:
    part = str(split_named(parts[0])) if in_splits else "all"
    rest = parts[1:] if in_splits else parts
    return Found(str(path), part, rest[0] if len(rest) > 1 else None)


def class_numbers(folders: Iterable[str], n_classes: int | None) -> dict[str, int]:
    """Return the class of each folder: its number where all are numbers that the model has, else its place by name."""
    names = sorted(set(folders))
    numbers = [int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 7]
    if n_classes and len(set(numbers)) == len(names) and max(numbers, default=n_classes) < n_classes:
        return dict(zip(names, numbers, strict=True))
    return {name: place for place, name in enumerate(names)}


def dataset_from(spec: str, name: str, names: Iterable[str], read: Read, model: Model | None) -> Dataset:
    """Return the data set of pictures by path; `read` gives the bytes of one."""
    found = placed(names)
    if not found:
        raise refused("E314", f"'{name}' holds no picture")
    outside = next((each for each in found if each.folder is None), None)
    labelled = any(each.folder is not None for each in found)
    if labelled and outside is not None:
        raise refused("E314", f"picture '{outside.name}' lies outside of the folders of classes")
    n_classes = model.graph.output_shape[-1] if labelled and model and model.graph.output_shape else None
    numbers = class_numbers((each.folder for each in found if each.folder is not None), n_classes)
    wanted = format_for(model, split(spec)[1].get("resize"))
    parts = {}
    for part in dict.fromkeys(each.split for each in found):
        some = [each for each in found if each.split == part]
        pixels = decode([Picture(each.name, partial(read, each.name)) for each in some], wanted)
        classes = np.array([numbers[each.folder] for each in some if each.folder is not None], np.int64)
        parts[part] = EvalData(
            name, part, pixels, classes if labelled else None, class_names=_names(numbers), source=spec
        )
    said = _said(numbers, n_classes) if labelled else "Without folders of classes the pictures have no labels."
    return dataset_of(name, parts, f"{said} {wanted}".strip())


def _names(numbers: dict[str, int]) -> tuple[str, ...]:
    """Return the names of classes in the order of their numbers, where none is missing."""
    by_number = {number: name for name, number in numbers.items()}
    return tuple(by_number[i] for i in range(len(by_number))) if set(by_number) == set(range(len(by_number))) else ()


def _said(numbers: dict[str, int], n_classes: int | None) -> str:
    shown = ", ".join(f"{name} is class {number}" for name, number in list(numbers.items())[:3])
    more = f" and so on, {len(numbers)} classes" if len(numbers) > 3 else ""
    few = f"; the model knows {n_classes}" if n_classes and n_classes != len(numbers) else ""
    return f"Classes by folder: {shown}{more}{few}."

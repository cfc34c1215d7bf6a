"""What a name says besides the file: `weights.pt+as@torchvision:resnet18`, `net.onnx+input@3x224x224`, `x.npy+y@y.npy`.

One text says all that loading takes, so it can stand in a link, in a job and in a stored result.
"""

import re
from collections.abc import Mapping
from math import prod

from pruning_core.errors import ModelError, UnknownName

NORMS = "+norms@"  # the data that batch-norm statistics are estimated from; it ends a model's name
PREPARING = ("preset", "scale", "mean", "std", "resize", "channels", "layout", "task")  # what is done to data
OF_DATA = ("y", *PREPARING)
MARKS = ("as", "accept", "input", *OF_DATA)  # an option that another file gives, such as `norms`, stays in the name
TYPES = ("float32", "int64", "bool")
MOST_NUMBERS = 2**27  # of one example input: half a gigabyte
_SHAPE = re.compile(rf"(?:({'|'.join(TYPES)}):)?(\d{{1,9}}(?:x\d{{1,9}})*)")
_OPTION = re.compile(rf"\+({'|'.join(MARKS)})@")


def split(spec: str) -> tuple[str, dict[str, str]]:
    """Return the name without its options, and the options by name; one given twice is refused."""
    name, *parts = _OPTION.split(spec)
    options = dict[str, str]()
    for key, value in zip(parts[::2], parts[1::2], strict=True):
        if key in options or not value:
            how = "twice" if key in options else "without a value"
            raise UnknownName(f"'{spec}' gives +{key}@ {how}; give it once")
        options[key] = value
    return name, options


def join(name: str, options: Mapping[str, str]) -> str:
    """Return the one text for a name and its options, those without a value left out."""
    return name + "".join(f"+{key}@{options[key]}" for key in MARKS if options.get(key))


def with_changes(spec: str, changes: Mapping[str, str]) -> str:
    """Return `spec` with these options in the place of its own; an empty one leaves the option out."""
    name, options = split(spec)
    return join(name, options | dict(changes))


def unprepared(spec: str) -> str:
    """Return the text without what it says of preparing; that reads no other file."""
    name, options = split(spec)
    return join(name, {key: value for key, value in options.items() if key not in PREPARING})


def suffix(spec: str) -> str:
    """Return the end of the file's name in lower case, such as `.npz`; nothing where it has none."""
    name = split(spec)[0].replace("\\", "/").rsplit("/", 1)[-1].lower()
    return name[name.rindex(".") :] if "." in name else ""


def with_options(spec: str, given: Mapping[str, str | None]) -> str:
    """Return `spec` with further options; one that it has already is refused."""
    start, norms, data = spec.partition(NORMS)
    name, options = split(start)
    for key, value in given.items():
        if value and options.get(key, value) != value:
            raise UnknownName(f"'{spec}' says +{key}@ already; leave '{value}' out")
    return join(name, options | {key: value for key, value in given.items() if value}) + norms + data


def input_shapes(text: str) -> tuple[tuple[str | None, tuple[int, ...]], ...]:
    """Return type (None where unsaid) and shape, without the batch, of each input in `3x224x224,int64:16`."""
    found = tuple(_input_shape(part) for part in text.split(","))
    if any(prod(shape) == 0 or prod(shape) > MOST_NUMBERS for _, shape in found):
        raise ModelError(f"an input of shape '{text}' is empty or larger than {MOST_NUMBERS:,} numbers; give another")
    return found


def _input_shape(part: str) -> tuple[str | None, tuple[int, ...]]:
    match = _SHAPE.fullmatch(part)
    if match is None:
        how = f"write it without the batch, such as 3x224x224, or int64:16; types are {', '.join(TYPES)}"
        raise ModelError(f"the input shape '{part}' is not understood; {how}")
    return match[1], tuple(map(int, match[2].split("x")))

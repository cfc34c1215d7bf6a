"""What a name says besides the file: `weights.pt+as@torchvision:resnet18`, `net.onnx+input@3x224x224`, `x.npy+y@y.npy`.

One text says all that loading takes, so it can stand in a link, in a job and in a stored result.
"""

import re
from collections.abc import Mapping

from pruning_core.errors import UnknownName

MARKS = ("as", "accept", "input", "y")  # an option that another file gives, such as `norms`, stays in the name
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


def suffix(spec: str) -> str:
    """Return the end of the file's name in lower case, such as `.npz`; nothing where it has none."""
    name = split(spec)[0].replace("\\", "/").rsplit("/", 1)[-1].lower()
    return name[name.rindex(".") :] if "." in name else ""

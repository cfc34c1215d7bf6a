"""`Limits`: how much one file may ask for. Each is a setting `PRUNING_EXPLORER_<NAME>`, named where it refuses."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from pruning_core.errors import FileRefused, PruningError
from pruning_core.refusals import refused

PREFIX = "PRUNING_EXPLORER_"


@dataclass(frozen=True)
class Limits:
    """Whole numbers above 0; the unit ends the name where it is not a count."""

    file_mb: int = 512
    unpacked_mb: int = 2048  # of all files of an archive together
    expansion: int = 200  # times that one file of an archive larger than 64 MB may expand
    archive_files: int = 20_000
    nodes: int = 50_000  # of an ONNX graph, its functions written out
    nesting: int = 8  # of graphs in graphs
    names: int = 200_000  # tensors, or entries of a header
    name_characters: int = 1024
    header_mb: int = 8
    numbers: int = 1_000_000_000  # in all weights together, or in a table
    columns: int = 100_000
    megapixels: int = 50  # of one picture
    line_kb: int = 4096  # of a table or a text
    cpu_seconds: int = 60
    wall_seconds: int = 120
    memory_mb: int = 4096  # besides what the libraries take themselves
    idle_seconds: int = 300  # until the process that waits for files ends

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Limits":
        """Return the limits that the environment names, the others as they are by default."""
        environment = os.environ if environment is None else environment
        given = {field.name: environment.get(setting(field.name)) for field in fields(cls)}
        return cls(**{name: _whole(name, value) for name, value in given.items() if value is not None})

    def check(self, code: str, name: str, value: float, what: str) -> None:
        """Refuse a value above the limit `name`; `what` says whose value it is, such as 'the file has {} MB'.

        The last {} is where the value goes: before it a name may stand, and names of strangers hold braces.
        """
        limit = getattr(self, name)
        if value > limit:
            before, _, after = what.rpartition("{}")
            raise self.exceeded(code, name, f"{before}{_short(value)}{after}")

    def exceeded(self, code: str, name: str, what: str) -> FileRefused:
        """Return the refusal that says which limit was passed, and by which setting it is changed."""
        return refused(code, f"{what}, the limit is {getattr(self, name)} ({setting(name)})")


def setting(name: str) -> str:
    """Return the environment variable of a limit."""
    return PREFIX + name.upper()


def _short(value: float) -> str:
    if value >= 1e15:
        return f"{value:.3g}"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 16 and int(text) > 0):
        raise PruningError(f"{setting(name)} is '{text}'; a whole number above 0 is needed")
    return int(text)


LIMITS = Limits.from_environment()

"""The README's tables, generated from the registries: `python -m tests.readme` writes them anew."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pruning_core.allocation import ALLOCATIONS
from pruning_core.criteria import CRITERIA
from pruning_core.granularities import GRANULARITIES
from pruning_core.loaders import DATA_LOADERS, MODEL_LOADERS
from pruning_core.loaders.seam import Loader
from pruning_core.selection import SELECTIONS

README = Path(__file__).parents[1] / "README.md"
BLOCKS = ("members", "forms")  # each stands between <!-- NAME: begin --> and <!-- NAME: end -->
NOT_TYPED = ("sample", "upload")  # loaders whose names are listed elsewhere, or given by the app


def members() -> str:
    """Return the tables of what there is to choose, in Markdown."""
    seams = {"criterion": CRITERIA, "granularity": GRANULARITIES, "selection": SELECTIONS, "allocation": ALLOCATIONS}
    return "\n".join("\n".join(_rows(kind, members)) + "\n" for kind, members in seams.items())


def forms() -> str:
    """Return the tables of what can be opened, in Markdown."""
    return "\n".join("\n".join(_forms(kind, loaders)) + "\n" for kind, loaders in SOURCES.items())


SOURCES: dict[str, Mapping[str, Loader[Any]]] = {"model": MODEL_LOADERS, "data": DATA_LOADERS}


def _forms(kind: str, loaders: Mapping[str, Loader[Any]]) -> Iterable[str]:
    yield from (f"| {kind} | what is done |", "|---|---|")
    for loader in loaders.values():
        if loader.name not in NOT_TYPED:
            yield f"| `{loader.form}` | {_cell((loader.load.__doc__ or '').splitlines()[0])} |"


def _rows(kind: str, members: Mapping[str, Any]) -> Iterable[str]:
    yield from (f"| {kind} | what it is |", "|---|---|")
    yield from (f"| `{member.name}` | {_cell(member.doc)} |" for member in members.values())


def _cell(text: str) -> str:
    """Return text that Markdown shows as it is; what stands between backticks is shown so anyway."""
    parts = text.replace("|", "\\|").split("`")
    parts[::2] = [part.replace("*", "\\*").replace("_", "\\_") for part in parts[::2]]
    return "`".join(parts)


def with_tables(text: str) -> str:
    """Return the README's text with the tables of today."""
    for name, block in zip(BLOCKS, (members, forms), strict=True):
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        head, rest = text.split(begin)
        text = head + begin + block() + end + rest.split(end)[1]
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text("utf-8")), "utf-8")

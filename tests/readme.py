"""The README's table of members, generated from the registries: `python -m tests.readme` writes it anew."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pruning_core.allocation import ALLOCATIONS
from pruning_core.criteria import CRITERIA
from pruning_core.granularities import GRANULARITIES
from pruning_core.selection import SELECTIONS

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- members: begin -->\n", "<!-- members: end -->"


def table() -> str:
    """Return the tables of what there is to choose, in Markdown."""
    seams = {"criterion": CRITERIA, "granularity": GRANULARITIES, "selection": SELECTIONS, "allocation": ALLOCATIONS}
    return "\n".join("\n".join(_rows(kind, members)) + "\n" for kind, members in seams.items())


def _rows(kind: str, members: Mapping[str, Any]) -> Iterable[str]:
    yield from (f"| {kind} | what it is |", "|---|---|")
    yield from (f"| `{member.name}` | {_cell(member.doc)} |" for member in members.values())


def _cell(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def with_table(text: str) -> str:
    """Return the README's text with the table of today."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    README.write_text(with_table(README.read_text("utf-8")), "utf-8")

"""The README's table of members, generated from the registries: `python -m tests.readme` writes it anew."""

from pathlib import Path

from pruning_core.criteria import CRITERIA
from pruning_core.granularities import GRANULARITIES

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- members: begin -->\n", "<!-- members: end -->"


def table() -> str:
    """Return the table of criteria and granularities in Markdown."""
    rows = ["| criterion | what it is |", "|---|---|"]
    rows += [f"| `{member.name}` | {_cell(member.doc)} |" for member in CRITERIA.values()]
    rows += ["", "| granularity | what it is |", "|---|---|"]
    rows += [f"| `{member.name}` | {_cell(member.doc)} |" for member in GRANULARITIES.values()]
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def with_table(text: str) -> str:
    """Return the README's text with the table of today."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    README.write_text(with_table(README.read_text("utf-8")), "utf-8")

"""The page of refusals, made from the tables of codes and limits: `python -m tests.refusals_page` writes it anew."""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from pruning_core.errors import FileRefused, PruningError
from pruning_core.guard.limits import Limits, setting
from pruning_core.refusals import REFUSALS, Refusal

PAGE = Path(__file__).parents[1] / "docs" / "refusals.md"
GROUPS = {"E2": "Model files", "E3": "Data files", "E6": "Limits, archives and uploads"}
INTRO = """# Why a file was refused

Every refusal has a code and one sentence: what is wrong, where, and what would work. This page lists the codes. It is
generated (`python -m tests.refusals_page`), and a test holds it to the code.

A file from a stranger passes three stages. Its bytes are read without any library that could run or unpack them
(`pruning_core.guard`). Its loading is rehearsed in a process that can be killed, with limits on time, memory and files,
and without network (`pruning_core.sandbox`). What was loaded has to have a meaning: finite weights, labels in range,
shapes that fit. Only then is it loaded for use.
"""


def page() -> str:
    """Return the whole page, in Markdown."""
    groups = [
        _table(title, [refusal for code, refusal in REFUSALS.items() if code.startswith(start)])
        for start, title in GROUPS.items()
    ]
    return "\n".join([INTRO, *groups, _others(), _limits()])


def _table(title: str, refusals: Iterable[Refusal]) -> str:
    rows = [f"| {each.code} | {_cell(each.title)} | {_cell(each.remedy)} |" for each in refusals]
    return "\n".join([f"## {title}", "", "| code | what is refused | what would work |", "|---|---|---|", *rows, ""])


def _others() -> str:
    """Return the codes of everything that is not a file."""
    kinds = sorted(
        {kind for kind in _all(PruningError) if not issubclass(kind, FileRefused)}, key=lambda kind: kind.code
    )
    rows = [f"| {kind.code} | {_cell((kind.__doc__ or '').splitlines()[0])} |" for kind in kinds]
    return "\n".join(["## Requests", "", "| code | what it is |", "|---|---|", *rows, ""])


def _all(kind: type[PruningError]) -> Iterable[type[PruningError]]:
    yield kind
    for inner in kind.__subclasses__():
        if inner.__module__ == PruningError.__module__:
            yield from _all(inner)


def _limits() -> str:
    """Return the limits with their settings."""
    rows = [f"| `{setting(field.name)}` | {field.default:,} |" for field in fields(Limits)]
    head = ["## Limits", "", "Each is an environment variable of the server, a whole number above 0.", ""]
    return "\n".join([*head, "| setting | default |", "|---|---|", *rows, ""])


def _cell(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

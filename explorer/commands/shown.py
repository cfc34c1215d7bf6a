"""How answers appear: tables and JSON on standard output, notes and progress on standard error."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

PLAIN_WIDTH = 160  # of output that goes to a file or a pipe
Update = Callable[[float, float], None]  # (done, total)


def document(value: Any) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def note(text: str) -> None:
    """Say something on standard error that is no failure, but must not go unseen."""
    print(f"note: {text}", file=sys.stderr)


def line(text: str = "") -> None:
    """Print a line of an answer for people."""
    _console().print(escape(text), highlight=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], text: Sequence[str] = ()) -> None:
    """Print a table; numbers stand to the right, the first column and those in `text` to the left."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(columns):
        shown.add_column(name, justify="left" if i == 0 or name in text else "right", overflow="fold")
    for row in rows:
        shown.add_row(*map(escape, row))
    _console().print(shown, highlight=False)


@contextmanager
def progress(title: str) -> Iterator[Update]:
    """Give a function `(done, total)` that moves a bar on standard error, where that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    console = Console(stderr=True)
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def count(value: float) -> str:
    """Return `266,610`."""
    return f"{value:,.0f}"


def large(value: float) -> str:
    """Return `266.2 k`, `1.81 G`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value:.0f}"


def size(n_bytes: float) -> str:
    """Return `1.07 MB`, in powers of ten."""
    return f"{large(n_bytes)}B" if n_bytes >= 1e3 else f"{n_bytes:.0f} B"


def percent(fraction: float | None) -> str:
    """Return `98.2 %`, or a dash for what was not measured."""
    return "–" if fraction is None else f"{fraction * 100:.2f} %"


def shape(sizes: Iterable[int]) -> str:
    """Return `300 × 784`."""
    return " × ".join(map(str, sizes))


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)

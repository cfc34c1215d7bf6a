"""Rules of the project that are tests: import contracts, the README's table, nothing of a machine in any file."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readme import README, with_tables

ROOT = Path(__file__).parents[1]
APP = sorted((ROOT / "explorer").rglob("*.py"))
CORE = sorted((ROOT / "pruning_core").rglob("*.py"))


def test_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports"))]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_readme_names_every_member() -> None:
    text = README.read_text("utf-8")
    assert text == with_tables(text), "run python -m tests.readme"


def test_every_picture_of_the_readme_is_there() -> None:
    pictures = re.findall(r"\((docs/[^)]+\.png)\)", README.read_text("utf-8"))
    assert pictures
    assert [name for name in pictures if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("path", APP, ids=lambda path: path.name)
def test_only_state_touches_the_session(path: Path) -> None:
    names = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
    assert ("session_state" in names) == (path.name == "state.py")


@pytest.mark.parametrize("path", sorted((ROOT / "explorer" / "views").glob("*.py")), ids=lambda path: path.name)
def test_views_are_thin(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 60
    assert not re.search(r"\b(torch|plotly|numpy)\b|\bgo\.", text)


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_does_not_print(path: Path) -> None:
    calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]


def test_public_names_of_the_core_are_sorted_and_there() -> None:
    import pruning_core

    assert sorted(pruning_core.__all__) == list(dict.fromkeys(sorted(pruning_core.__all__)))
    assert [name for name in pruning_core.__all__ if not hasattr(pruning_core, name)] == []

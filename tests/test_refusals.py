"""Codes of refusals: the page is that of the table, and each code is raised by the code and by a test."""

import pickle
import re
from pathlib import Path

import pytest

from pruning_core.refusals import REFUSALS, refused
from tests.refusals_page import PAGE, page

ROOT = Path(__file__).parents[1]
CODE = re.compile(r"\bE[236]\d\d\b")
OWN = ("refusals.py", "refusals_page.py", "test_refusals.py")


def _named(*folders: str) -> set[str]:
    """Return the codes that stand in the Python files of these folders."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if path.name not in OWN]
    return {code for path in files for code in CODE.findall(path.read_text("utf-8"))}


def test_the_page_is_that_of_the_table() -> None:
    assert PAGE.read_text("utf-8") == page(), "run python -m tests.refusals_page"


def test_each_code_is_raised_somewhere() -> None:
    assert sorted(set(REFUSALS) - _named("pruning_core", "explorer")) == []


def test_each_code_is_met_by_a_test() -> None:
    assert sorted(set(REFUSALS) - _named("tests")) == []


def test_each_code_that_is_raised_is_in_the_table() -> None:
    generic = {"E200", "E300"}
    assert sorted(_named("pruning_core", "explorer") - set(REFUSALS) - generic) == []


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_is_one_sentence_with_a_remedy(code: str) -> None:
    refusal = REFUSALS[code]
    assert refusal.title[0].isupper()
    assert refusal.remedy[0].islower()
    assert not refusal.remedy.endswith((".", ";"))
    error = refused(code, "the file is strange")
    again = pickle.loads(pickle.dumps(error))
    assert (again.code, str(again)) == (code, f"the file is strange; {refusal.remedy}")

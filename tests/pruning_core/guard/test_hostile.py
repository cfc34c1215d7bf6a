"""Hostile files end in their code: no code of theirs runs, nothing else is read, the caller lives."""

import codecs
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pruning_core.errors import FileRefused
from pruning_core.guard import check
from pruning_core.refusals import REFUSALS
from pruning_core.sandbox import rehearse
from tests.hostile import CLASSES, cases
from tests.hostile.case import Case

MOST_SECONDS = 30.0
_opened: list[str] | None = None  # what is opened while it is watched


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _opened is not None and event in ("open", "os.system", "subprocess.Popen", "os.exec", "socket.connect", "exec"):
        _opened.append(f"{event} {arguments[0]}")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Case]]:
    """Return all cases; what their code would create is looked for at the end."""
    marker = tmp_path_factory.mktemp("marker") / "code-ran"
    codecs.lookup("cp437")  # of names in archives; Python reads its table when first asked
    sys.addaudithook(_watch)
    yield cases(marker)
    assert list(marker.parent.iterdir()) == []


def test_there_are_enough(files: list[Case]) -> None:
    assert len(files) >= 200
    assert {case.kind for case in files} == set(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_each_is_refused_by_its_code(kind: str, files: list[Case], tmp_path: Path) -> None:
    wrong = []
    for number, case in enumerate(case for case in files if case.kind == kind):
        folder = tmp_path / str(number)
        folder.mkdir(mode=0o700)
        (folder / case.file).write_bytes(case.make())
        started = time.monotonic()
        refusal = _refusal(case, folder / case.file)
        if refusal is None or refusal.code not in case.codes or time.monotonic() - started > MOST_SECONDS:
            wrong.append((case.name, case.code, refusal and refusal.code, str(refusal)))
        elif not _reads_well(str(refusal), folder):
            wrong.append((case.name, "the sentence", refusal.code, str(refusal)))
    assert wrong == []


def _refusal(case: Case, path: Path) -> FileRefused | None:
    """Return how an upload of the file ends: bytes first, then the rehearsal."""
    global _opened
    _opened = []
    try:
        check(path)
        watched, _opened = _opened, None
        rehearse(f"{path}{case.options}", "data" if case.holds == "data" else "model", case.model)
    except FileRefused as error:
        watched = watched if _opened is None else _opened
        return error if watched in ([], [f"open {path}"]) else FileRefused("E000", f"opened {watched}")
    finally:
        _opened = None
    return None


def _reads_well(sentence: str, folder: Path) -> bool:
    """Whether it is one line of plain characters that tells nothing of folders or of switching protection off."""
    forbidden = ("weights_only", "Traceback", str(folder), "allow_pickle", "site-packages")
    return len(sentence) < 1000 and sentence.isprintable() and not any(text in sentence for text in forbidden)


def test_the_codes_are_known(files: list[Case]) -> None:
    generic = {"E200", "E300"}
    assert {code for case in files for code in case.codes} - generic <= set(REFUSALS)

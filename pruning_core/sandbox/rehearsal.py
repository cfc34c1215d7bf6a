"""`rehearse`: what a stranger's file holds, found out by a process that may die of it."""

import filecmp
import json
import logging
import os
import shutil
import signal
import tempfile
from itertools import count
from pathlib import Path
from typing import Any, Literal

from pruning_core.errors import FileRefused
from pruning_core.guard import KINDS, check
from pruning_core.guard.limits import LIMITS, Limits
from pruning_core.loaders.options import join, split
from pruning_core.loaders.uploads import is_upload, path_of
from pruning_core.refusals import refused, told
from pruning_core.sandbox.client import End, run

What = Literal["model", "data", "weights"]
PASSED = ("PRUNING_EXPLORER_TRUSTED", "PRUNING_EXPLORER_UPLOADS")
LONGEST_SENTENCE = 1000  # characters
LONGEST_SPEC = 20_000
LONGEST_STEM = 60  # of names that are made, so that an upload can be named
log = logging.getLogger(__name__)


def rehearse(spec: str, what: What, model: str | None = None, limits: Limits = LIMITS) -> dict[str, Any]:
    """Load a file as the server would, in a process of its own; return what was found, or raise `FileRefused`.

    `model` names the model that data have to fit. The answer's `spec` is the name to load by from now on: of a state
    dict, its weights are written as safetensors beside it, and only these are named. `what="weights"` does just that,
    before an architecture is named. `walls` tells whether the system could shut the process off from files and network.
    """
    return rehearse_unchecked(spec, what, _kind(spec, what, limits), model, limits)


def _kind(spec: str, what: What, limits: Limits) -> str:
    """Return the kind of the file by its bytes; nothing for what is no file. All files that the name means are read."""
    if len(spec) > LONGEST_SPEC:
        raise refused("E618", f"the name of the file and its options have {len(spec)} characters")
    name, options = split(spec)
    for other in map(_path, options.values()):
        if os.path.isfile(other):
            check(other, limits)
    path = _path(name)
    kind = check(path, limits) if os.path.isfile(path) else ""
    if kind and KINDS[kind].holds != ("data" if what == "data" else "model"):
        code, wanted = ("E301", "data") if what == "data" else ("E201", "a model")
        raise refused(code, f"the file is {KINDS[kind].title}, not {wanted}")
    if what == "weights" and kind != "state_dict":
        raise refused("E201", "the file is no state dict")
    return kind


def rehearse_unchecked(spec: str, what: What, kind: str, model: str | None, limits: Limits) -> dict[str, Any]:
    """Rehearse a file whose bytes were told to be of this kind; for tests of what the process alone holds."""
    name, options = split(spec)
    path, readable = _path(name), [*_files(spec), *(_files(model) if model else [])]
    with tempfile.TemporaryDirectory(prefix="pruning-explorer-file-") as folder:
        request: dict[str, Any] = {
            "spec": _resolved(spec),
            "model": _resolved(model) if model else None,
            "what": what,
            "kind": kind,
            "folder": folder,
            "readable": readable,
            "environment": {key: os.environ[key] for key in PASSED if key in os.environ},
        }
        found = _answer(run(request, limits), limits, [folder, *{str(Path(file).parent) for file in readable}])
        file = found.pop("file", None)
        new = _kept(Path(folder) / file, path, limits) if file == "weights.safetensors" else None
    renamed = name if new is None else name[: len(name) - len(path.name)] + new
    return found | {"spec": join(renamed, options), "kind": kind}


def _answer(end: End, limits: Limits, folders: list[str]) -> dict[str, Any]:
    """Return what was found, or raise what became of the process; its sentences do not tell of folders."""
    try:
        answer = json.loads(end.answer)
    except ValueError:
        answer = {}
    if not isinstance(answer, dict) or end.exit != 0 or not answer.keys() & {"found", "refused"}:
        raise _death(end, limits)
    if "refused" in answer:
        refusal = answer["refused"]
        log.info("refused %s: %s\n%s", refusal["code"], refusal["sentence"], refusal["trace"])
        sentence = str(refusal["sentence"])
        for folder in folders:
            sentence = sentence.replace(f"{folder}/", "")
        raise told(str(refusal["code"])[:4], sentence[:LONGEST_SENTENCE])
    return {**answer["found"], "walls": answer["walls"], "memory_mb": end.memory_mb}


def _death(end: End, limits: Limits) -> FileRefused:
    """Return the refusal for a process that ended without an answer."""
    ended = -end.exit if end.exit is not None and end.exit < 0 else 0
    if end.is_late:
        return limits.exceeded("E614", "wall_seconds", "reading the file took too many seconds")
    if ended == signal.SIGXCPU:
        return limits.exceeded("E614", "cpu_seconds", "reading the file took too many seconds of the processor")
    if ended == signal.SIGKILL:  # neither late nor ours: the system was short of memory
        return limits.exceeded("E615", "memory_mb", "reading the file took more memory than the system has")
    how = signal.Signals(ended).name if ended in set(signal.Signals) else "no answer"
    return refused("E616", f"the process that read the file ended with {how}")


def _kept(made: Path, original: Path, limits: Limits) -> str:
    """Move weights that the process wrote beside the original, once they are what they should be; return their name."""
    if made.is_symlink() or not made.is_file() or check(made, limits) != "safetensors":
        raise refused("E616", "the process that read the file wrote something else than weights")
    new = _free(made, original)
    shutil.copyfile(made, new.with_suffix(".partial"))
    os.replace(new.with_suffix(".partial"), new)
    return new.name


def _free(made: Path, original: Path) -> Path:
    """Return the name beside the original that is not taken, unless by the same bytes."""
    stem = original.stem[:LONGEST_STEM]
    names = (f"{stem}{f'-{number}' if number else ''}.safetensors" for number in count())
    paths = (original.with_name(name) for name in names)
    return next(path for path in paths if not path.exists() or filecmp.cmp(path, made, shallow=False))


def _path(name: str) -> Path:
    return path_of(name) if is_upload(name) else Path(name)


def _resolved(spec: str) -> str:
    """Return the name with absolute paths in place of files and uploads: the process works in a folder of its own."""
    name, options = split(spec)
    return join(_absolute(name), {key: _absolute(value) for key, value in options.items()})


def _absolute(name: str) -> str:
    return str(_path(name).resolve()) if is_upload(name) or os.path.exists(name) else name


def _files(spec: str) -> list[str]:
    """Return the paths that a name means, its options included."""
    name, options = split(spec)
    return [found for found in map(_absolute, (name, *options.values())) if os.path.isabs(found)]

"""Files that a visitor sent to the app: `upload:TOKEN/NAME`, whose folder only the server knows.

The name can stand in links, jobs and stored results without telling where the file lies. Who may open it is for the app
to decide: whoever loads by such a name has been let in.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pruning_core.data import Dataset
from pruning_core.errors import PruningError
from pruning_core.loaders.options import join, split
from pruning_core.loaders.seam import data_loader, load_data, load_model, model_loader
from pruning_core.model import Model
from pruning_core.refusals import refused

PREFIX = "upload:"
FOLDER_VARIABLE = "PRUNING_EXPLORER_UPLOADS"
FORM = f"{PREFIX}TOKEN/NAME"
_NAME = re.compile(r"upload:([A-Za-z0-9_-]{22})/([A-Za-z0-9_-][A-Za-z0-9._-]{0,79})")


def is_upload(spec: str) -> bool:
    """Whether the name means a file that was sent to the app."""
    return spec.startswith(PREFIX)


def spec_of(token: str, name: str) -> str:
    """Return the name under which an upload is opened."""
    return f"{PREFIX}{token}/{name}"


def parts(spec: str) -> tuple[str, str]:
    """Return token and file name of an upload's name, options left out."""
    found = _NAME.fullmatch(split(spec)[0])
    if found is None:
        raise refused("E621", f"'{spec[:80]}' names no upload")
    return found[1], found[2]


def path_of(spec: str) -> Path:
    """Return the file that an upload's name means."""
    token, name = parts(spec)
    path = Path(os.environ.get(FOLDER_VARIABLE) or os.devnull) / token / name
    try:
        is_plain = stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        is_plain = False
    if not is_plain:
        raise refused("E621", f"the upload '{name}' is no longer here")
    return path


def resolved(spec: str) -> str:
    """Return the same name with paths in place of uploads, in its options too."""
    name, options = split(spec)
    paths = {key: str(path_of(value)) if is_upload(value) else value for key, value in options.items()}
    return join(str(path_of(name)) if is_upload(name) else name, paths)


@model_loader("upload", form=FORM, can_load=is_upload, takes=None)
def load_uploaded_model(spec: str) -> Model:
    """Load a model that was sent to the app."""
    with _without_folders():
        found = load_model(resolved(spec))
    return replace(found, name=spec, title=parts(spec)[1])


@data_loader("upload", form=FORM, can_load=is_upload, takes=None)
def load_uploaded_data(spec: str, model: Model | None = None) -> Dataset:
    """Load data that were sent to the app."""
    with _without_folders():
        found = load_data(resolved(spec), model=model)
    return replace(found, name=spec, title=parts(spec)[1])


@contextmanager
def _without_folders() -> Iterator[None]:
    """Leave the server's folders out of what a refusal says."""
    folder = re.compile(rf"{re.escape(os.environ.get(FOLDER_VARIABLE) or os.devnull)}/[\w-]+/")
    try:
        yield
    except PruningError as error:
        error.args = tuple(folder.sub("", each) if isinstance(each, str) else each for each in error.args)
        raise

"""What a session may open: its own uploads and, reached from other machines, no file that was not named at start.

A name may come from a link, so it is judged before anything is loaded, its options too. What runs code is refused by
the loaders themselves, wherever the name comes from, unless it was trusted on the command line.
"""

import re
from collections.abc import Mapping

from explorer.settings import SETTINGS
from explorer.uploads import Upload, own_uploads
from pruning_core.errors import PruningError, UnknownName
from pruning_core.loaders import find_data, find_model
from pruning_core.loaders.options import split, unprepared
from pruning_core.loaders.re_estimated import MARK
from pruning_core.loaders.uploads import is_upload, parts
from pruning_core.refusals import refused

MODELS = ("sample", "torchvision", "timm")  # loaders that read no file that a name could choose
DATA = ("sample", "generated")
_PLAIN = re.compile(r"[\w.]+(:[\w.]+)?")


def check(model: str | None, data: str | None, owner: str) -> None:
    """Refuse a model or data that this visitor may not open."""
    if model:
        _check_model(model, owner)
    if data:
        _check(data, owner, is_model=False)


def _check_model(spec: str, owner: str) -> None:
    name, mark, data = spec.partition(MARK)
    _check(name, owner, is_model=True)
    if mark:
        _check(data, owner, is_model=False)


def _check(spec: str, owner: str, is_model: bool) -> None:
    name, options = split(spec)
    check_options(options, owner)
    if is_upload(name):
        upload = check_owner(name, owner)
        if unprepared(spec) not in map(unprepared, own_uploads().passed(upload.token)):
            raise refused("E621", f"the upload '{upload.name}' was not found fit to be opened in this way")
    elif not SETTINGS.local and unprepared(spec) not in (SETTINGS.model, SETTINGS.data):
        _check_is_offered(name, is_model)


def check_options(options: Mapping[str, str], owner: str) -> None:
    """Refuse an architecture or file that this visitor may not name beside a file."""
    if "as" in options:
        _check(options["as"], owner, is_model=True)
    if (target := options.get("y")) and is_upload(target):
        check_owner(target, owner)
    elif target and _is_path(target):
        _check(target, owner, is_model=False)


def _is_path(text: str) -> bool:
    """Whether an option names a file; a column of a table has a plain name."""
    return "/" in text or "\\" in text or "." in text


def check_owner(spec: str, owner: str) -> Upload:
    """Return the upload that a name means; refused where it is not this visitor's."""
    token, file_name = parts(spec)
    upload = own_uploads().find(token, owner)
    if upload is None:
        raise refused("E621", f"the upload '{file_name}' is not here, or belongs to another visitor")
    return upload


def _check_is_offered(name: str, is_model: bool) -> None:
    """Refuse all but what comes with the program; a wrong name of that is told from others by the loaders."""
    what, offered = ("model", MODELS) if is_model else ("data", DATA)
    try:
        loader = (find_model if is_model else find_data)(name).name
    except PruningError as error:
        if isinstance(error, UnknownName) and _PLAIN.fullmatch(name) and "." not in name:
            raise  # a name that was mistyped
        loader = ""
    if loader not in offered or not _PLAIN.fullmatch(name):
        raise refused("E623", f"this server does not offer the {what} '{name[:80]}'")

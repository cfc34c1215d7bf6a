"""Stage 1: what kind of file this is, by its content; refused by the first thing in it that is not to be read."""

import mmap
import stat
from pathlib import Path

from pruning_core.errors import FileRefused
from pruning_core.guard.archive import START, Data, Entry, entries
from pruning_core.guard.arrays import MAGIC as NUMPY
from pruning_core.guard.arrays import check_npy, check_npz
from pruning_core.guard.limits import LIMITS, Limits
from pruning_core.guard.onnx_scan import check_onnx
from pruning_core.guard.pictures import SUFFIXES, check_pictures, is_picture
from pruning_core.guard.safetensors_header import check_safetensors, is_safetensors
from pruning_core.guard.signatures import check_known
from pruning_core.guard.text import check_text, is_text
from pruning_core.guard.torch_file import MAGIC as OLD_TORCH
from pruning_core.guard.torch_file import check_old_torch, check_torch, is_torch
from pruning_core.refusals import refused, told

EMPTY_ARCHIVE = b"PK\5\6"
ONNX_STARTS = b"\x08\x12\x1a\x22\x28\x32\x3a\x42\x72\xca"  # first bytes of the fields of ModelProto


def check(path: str | Path, limits: Limits = LIMITS) -> str:
    """Return the kind of the file (a key of `KINDS`), or refuse it."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        raise refused("E621", "the file is not there or must not be read") from None
    if not stat.S_ISREG(status.st_mode):
        raise refused("E619", "this is a folder, a device or a pipe")
    if status.st_size == 0:
        raise refused("E602", "the file is empty")
    limits.check("E601", "file_mb", status.st_size / 2**20, "the file has {} MB")
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return check_bytes(memoryview(mapped), limits)
    except FileRefused as error:
        code, sentence = error.code, str(error)
    raise told(code, sentence)  # another error than the first, which holds on to the file's bytes


def check_bytes(data: Data | bytes, limits: Limits = LIMITS) -> str:
    """Return the kind of a file with this content, or refuse it."""
    data = memoryview(data)
    if len(data) == 0:
        raise refused("E602", "the file is empty")
    start = bytes(data[:16])
    if start.startswith((START, EMPTY_ARCHIVE)):
        return _check_archive(data, limits)
    if start.startswith(NUMPY):
        return check_npy(data)
    if start.startswith(OLD_TORCH):
        return check_old_torch(data)
    if is_safetensors(data):
        return check_safetensors(data, limits)
    check_known(bytes(data[:512]))
    if is_text(data):
        return check_text(data, limits)
    if start[0] in ONNX_STARTS:
        return check_onnx(data, limits)
    raise refused("E201", "the file is of no format that is known")


def _check_archive(data: Data, limits: Limits) -> str:
    found = entries(data, limits, "E302")
    names = [entry.name for entry in found]
    if is_torch(names):
        return check_torch(data, found, limits)
    if any(name == "models/model.json" or name.endswith("/models/model.json") for name in names):
        raise refused("E206", "the file is an exported program (.pt2), which can run code when it is read")
    if _holds(found, ".npy"):
        return check_npz(data, found)
    if any(is_picture(name) for name in names):
        return check_pictures(data, found, limits)
    if _holds(found, ".pkl", ".pickle", ".pth", ".pt"):
        raise refused("E203", "the archive holds pickles, which can run code")
    if "model.weights.h5" in names or "config.json" in names:
        raise refused("E201", "the file is a Keras model (.keras)")
    if not found:
        raise refused("E602", "the archive is empty")
    raise refused("E314", f"the archive holds neither arrays nor {', '.join(SUFFIXES)}")


def _holds(found: list[Entry], *suffixes: str) -> bool:
    """Return whether a file of the archive ends like this; of an .npz, all do."""
    ends = [entry.name.lower().endswith(suffixes) for entry in found]
    return bool(ends) and (all(ends) if suffixes == (".npy",) else any(ends))

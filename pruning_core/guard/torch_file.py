"""Files of torch.save: a zip of a pickle and stored tensors, or (before version 1.6) some pickles and the tensors."""

from pruning_core.guard.archive import STORED, Data, Entry, head
from pruning_core.guard.limits import Limits
from pruning_core.guard.pickles import LARGEST, check_tensors_only
from pruning_core.guard.shown import shown
from pruning_core.refusals import refused

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how files before version 1.6 start
N_PICKLES = 5  # magic number, protocol, system, the object, the keys of its storages


def is_torch(names: list[str]) -> bool:
    """Return whether an archive of these files is one of torch, plain or not."""
    return any(name.rpartition("/")[2] in ("data.pkl", "constants.pkl", "archive_format") for name in names)


def check_torch(data: Data, found: list[Entry], limits: Limits) -> str:
    """Return the kind of a torch file: only a plain state dict is one."""
    names = [entry.name for entry in found]
    ends = {name.partition("/")[2] for name in names}
    if "archive_format" in ends or any(end.startswith(("models/", "data/weights/")) for end in ends):
        raise refused("E206", "the file is an exported program (.pt2), which can run code when it is read")
    if "constants.pkl" in ends or any(end.startswith("code/") for end in ends):
        raise refused("E205", "the file is TorchScript, which can run code")
    if ".data/extern_modules" in ends:
        raise refused("E203", "the file is a torch.package, which holds Python code")
    _check_plain(found)
    pickles = [entry for entry in found if entry.name.endswith("data.pkl")]
    if len(pickles) != 1 or pickles[0].name.count("/") != 1:
        raise refused("E207", "the PyTorch file has no single data.pkl in one folder, which torch.save always writes")
    limits.check("E618", "header_mb", pickles[0].size / 2**20, "the list of tensors has {} MB")
    check_tensors_only(head(data, pickles[0], LARGEST, "E202"))
    return "state_dict"


def _check_plain(found: list[Entry]) -> None:
    """Refuse what torch.save never writes: packed entries, or entries of several folders."""
    packed = next((entry for entry in found if entry.method != STORED), None)
    if packed:
        raise refused("E207", f"{shown(packed.name)} in the PyTorch file is compressed, which torch.save never does")
    if len({entry.name.partition("/")[0] for entry in found}) > 1:
        raise refused("E207", "the PyTorch file holds several folders, torch.save writes one")


def check_old_torch(data: Data) -> str:
    """Return the kind of a file from before version 1.6 when its pickles only build tensors."""
    start, beginning = 0, bytes(data[:LARGEST])
    for _ in range(N_PICKLES):
        start = check_tensors_only(beginning, start)
    return "state_dict"

"""What a pickle would call, read from its opcodes without running them.

This is for the sentence that the user reads; the boundary is that torch reads it with weights_only=True in the sandbox.
"""

import pickletools
from typing import NamedTuple

from pruning_core.guard.shown import shown
from pruning_core.refusals import refused

LARGEST = 16 << 20  # bytes of the pickle of a state dict: names and shapes, no numbers
MOST_OPCODES = 1_000_000
TENSORS_ONLY = frozenset(
    {
        "collections OrderedDict",
        "collections Counter",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_parameter_with_state",
        "torch.nn.parameter Parameter",
        "torch Size",
        *(f"torch {kind}Storage" for kind in "Float Double Half BFloat16 Long Int Short Char Byte Bool".split()),
    }
)
OPCODES = frozenset(  # what torch reads with weights_only=True
    "PROTO GLOBAL NEWOBJ REDUCE BUILD APPEND APPENDS SETITEM SETITEMS MARK TUPLE TUPLE1 TUPLE2 TUPLE3 NONE NEWFALSE "
    "NEWTRUE EMPTY_TUPLE EMPTY_LIST EMPTY_DICT EMPTY_SET BININT BININT1 BININT2 BINFLOAT BINUNICODE SHORT_BINSTRING "
    "BINPERSID BINGET LONG_BINGET BINPUT LONG_BINPUT LONG1 STOP".split()
)


class Pickle(NamedTuple):
    """What one pickle fetches by name, the opcodes that it uses, and where it ends."""

    named: frozenset[str]
    opcodes: frozenset[str]
    end: int


def read(data: bytes, start: int = 0) -> Pickle:
    """Return what the pickle at `start` holds."""
    try:
        return _read(data, start)
    except (ValueError, IndexError, OverflowError):
        raise refused("E202", "the pickle in the file is damaged") from None


def check_tensors_only(data: bytes, start: int = 0) -> int:
    """Refuse a pickle that would do more than build tensors; return where it ends."""
    pickle = read(data, start)
    others = sorted(pickle.named - TENSORS_ONLY)
    if others:
        names = ", ".join(shown(name.replace(" ", ".", 1)) for name in others[:3])
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise refused("E203", f"the file holds more than tensors, it names {names}{more}, which can run code")
    unusual = sorted(pickle.opcodes - OPCODES)
    if unusual:
        raise refused("E207", f"the file is pickled in another way than torch.save does, with {unusual[0]}")
    return pickle.end


def _read(data: bytes, start: int) -> Pickle:
    named, opcodes, end = set[str](), set[str](), start
    for count, (opcode, argument, position) in enumerate(pickletools.genops(data[start:])):
        if count == MOST_OPCODES:
            raise refused("E610", f"the pickle has more than {MOST_OPCODES} steps")
        if opcode.name in ("GLOBAL", "INST"):
            named.add(str(argument))
        opcodes.add(opcode.name)
        end = start + (position or 0) + 1
    return Pickle(frozenset(named), frozenset(opcodes), end)

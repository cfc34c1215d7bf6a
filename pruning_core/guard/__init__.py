"""Stage 1 of opening a stranger's file: its bytes alone, read by the standard library; torch and onnx never see it.

`check(path)` says what kind of file it is by its content, or refuses it (`FileRefused`) by a code and one sentence.
"""

from pruning_core.guard.check import check, check_bytes
from pruning_core.guard.kinds import KINDS, Kind, suffix_of
from pruning_core.guard.limits import LIMITS, Limits

__all__ = ["KINDS", "LIMITS", "Kind", "Limits", "check", "check_bytes", "suffix_of"]

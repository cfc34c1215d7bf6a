"""What one visitor, and all of them together, may take of the server. Each limit is a setting that messages name."""

import os
from dataclasses import dataclass, fields

from pruning_core.errors import PruningError

VARIABLE = "PRUNING_EXPLORER_HOST_"
MB, GB = 10**6, 10**9


@dataclass(frozen=True)
class HostLimits:
    """Set each by an environment variable, such as PRUNING_EXPLORER_HOST_UPLOAD_BYTES."""

    upload_bytes: int = 200 * MB  # of one file
    visitor_bytes: int = GB  # of all uploads that one visitor has
    visitor_files: int = 20
    visitor_transfers: int = 2  # uploads of one visitor that run at a time
    total_bytes: int = 20 * GB  # of all uploads
    upload_hours: int = 24  # until an upload is deleted
    stall_seconds: int = 30  # without a byte until a transfer is given up
    sessions: int = 40  # pages that are open at a time
    jobs_running: int = 1  # sweeps of one visitor that run at a time
    jobs_waiting: int = 3  # of one visitor, beside those

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise PruningError(f"{VARIABLE}{field.name.upper()} is {getattr(self, field.name)}; it is at least 1")

    @classmethod
    def from_environment(cls, hosted: bool) -> "HostLimits":
        """Return the limits, those named in the environment instead of ours; hosted, files are half as large."""
        chosen = {"upload_bytes": 100 * MB} if hosted else {}
        for field in fields(cls):
            text = os.environ.get(VARIABLE + field.name.upper())
            if text is not None:
                chosen[field.name] = _whole(VARIABLE + field.name.upper(), text)
        return cls(**chosen)


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise PruningError(f"{name} is '{text}'; write a whole number") from None

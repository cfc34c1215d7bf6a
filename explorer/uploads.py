"""Uploads on disk: a private folder for each file, its owner, a quota for each visitor, and an end.

`<folder>/<token>/<name>` holds one file and `<folder>/<token>.owner` whose it is. A folder without the second, such as
that of a transfer that was cut off, belongs to nobody and goes with the next sweep. `<folder>/<token>.passed` lists the
names, options included, under which the file was found fit to be opened.
"""

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from threading import Lock

from explorer.figures.escaping import file_name
from explorer.limits import HostLimits
from explorer.settings import SETTINGS
from pruning_core.loaders.uploads import FOLDER_VARIABLE, parts, spec_of
from pruning_core.refusals import refused
from pruning_core.sensitivity.database import default_path


@dataclass(frozen=True)
class Upload:
    """One file of a visitor."""

    token: str
    name: str
    n_bytes: int
    since: float  # seconds since 1970

    @property
    def spec(self) -> str:
        """The name under which it is opened."""
        return spec_of(self.token, self.name)


class Uploads:
    """The folder of all uploads, and how much of it is taken."""

    def __init__(self, folder: Path, limits: HostLimits) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.folder, self.limits = folder, limits
        self._lock = Lock()
        self._coming: dict[str, tuple[str, int]] = {}  # token of a transfer -> owner, bytes that it may take

    # ---- a transfer

    def begin(self, owner: str, name: str, n_bytes: int | None) -> "Transfer":
        """Make room for a file; `n_bytes` as announced, or None, which holds the most that a file may have."""
        self.sweep()
        limits = self.limits
        if n_bytes is not None and n_bytes > limits.upload_bytes:
            raise too_large(name, limits)
        wanted = limits.upload_bytes if n_bytes is None else n_bytes
        with self._lock:
            self._refuse_what_is_too_much(owner, wanted)
            token = secrets.token_urlsafe(16)
            self._coming[token] = (owner, wanted)
        path = self.folder / token / file_name(name)
        try:
            path.parent.mkdir(mode=0o700)
            return Transfer(self, token, path, owner, n_bytes)
        except OSError:
            self.forget(token)
            raise

    def _refuse_what_is_too_much(self, owner: str, wanted: int) -> None:
        limits, mine = self.limits, self.of(owner)
        coming = [n_bytes for other, n_bytes in self._coming.values() if other == owner]
        if len(coming) >= limits.visitor_transfers:
            raise refused("E622", f"{len(coming)} of your uploads still run, the limit is {limits.visitor_transfers}")
        if len(mine) + len(coming) >= limits.visitor_files:
            raise refused("E620", f"you have {len(mine)} uploads, the limit visitor_files is {limits.visitor_files}")
        taken = sum(upload.n_bytes for upload in mine) + sum(coming)
        if taken + wanted > limits.visitor_bytes:
            raise refused(
                "E620",
                f"your uploads take {megabytes(taken)}, with this one more than visitor_bytes, "
                f"{megabytes(limits.visitor_bytes)}",
            )
        everything = sum(upload.n_bytes for _, upload in self._all()) + sum(n for _, n in self._coming.values())
        free = shutil.disk_usage(self.folder).free
        if everything + wanted > limits.total_bytes or wanted > free // 2:
            raise refused("E620", "the server has no room for this file")

    def finish(self, transfer: "Transfer") -> Upload:
        """Give a complete file to its owner."""
        with self._lock:
            self._keep(transfer.token, transfer.owner, transfer.path.name)
            self._coming.pop(transfer.token, None)
        return Upload(transfer.token, transfer.path.name, transfer.written, time.time())

    def _keep(self, token: str, owner: str, name: str) -> None:
        """Write whose a file is at once: others may read it meanwhile."""
        record = self.folder / f"{token}.owner"
        record.with_suffix(".new").write_text(f"{owner}\n{name}")
        record.with_suffix(".new").replace(record)

    def forget(self, token: str) -> None:
        """Take back what was begun or kept under this token."""
        with self._lock:
            self._coming.pop(token, None)
        for record in (".owner", ".passed", ".new"):
            (self.folder / f"{token}{record}").unlink(missing_ok=True)
        shutil.rmtree(self.folder / token, ignore_errors=True)

    # ---- what is there

    def of(self, owner: str) -> list[Upload]:
        """Return a visitor's uploads, the newest first."""
        mine = [upload for other, upload in self._all() if other == owner and owner]
        return sorted(mine, key=lambda upload: -upload.since)

    def find(self, token: str, owner: str) -> Upload | None:
        """Return this visitor's upload with this token."""
        return next((upload for upload in self.of(owner) if upload.token == token), None)

    def rename(self, upload: Upload, name: str) -> Upload:
        """Give a file another name, such as the ending that fits its content."""
        folder = self.folder / upload.token
        (folder / upload.name).rename(folder / name)
        owner = (self.folder / f"{upload.token}.owner").read_text().split()[0]
        self._keep(upload.token, owner, name)
        return replace(upload, name=name)

    def admit(self, spec: str) -> None:
        """Keep that this file may be opened under this name."""
        with (self.folder / f"{parts(spec)[0]}.passed").open("a") as record:
            record.write(f"{spec}\n")

    def passed(self, token: str) -> list[str]:
        """Return the names under which a file was found fit, the newest last."""
        record = self.folder / f"{token}.passed"
        return record.read_text().splitlines() if record.exists() else []

    def _all(self) -> Iterator[tuple[str, Upload]]:
        for record in self.folder.glob("*.owner"):
            with suppress(OSError):
                owner, name = record.read_text().split("\n")
                n_bytes = sum(path.lstat().st_size for path in record.with_suffix("").iterdir())
                yield owner, Upload(record.stem, name, n_bytes, record.stat().st_mtime)

    def sweep(self) -> None:
        """Delete what is past its time, and what was never finished."""
        oldest = time.time() - 3600 * self.limits.upload_hours
        for path in self.folder.iterdir():
            token = path.name.split(".")[0]
            record = self.folder / f"{token}.owner"
            with suppress(OSError):
                is_late = (record if record.exists() else path).lstat().st_mtime < oldest
                if is_late or not (token in self._coming or record.exists() or _is_young(path)):
                    self.forget(token)


@cache
def own_uploads() -> Uploads:
    """Return the uploads of this server, in the user's data folder; processes that it starts find them too."""
    folder = default_path().parent / "uploads"
    os.environ[FOLDER_VARIABLE] = str(folder)
    return Uploads(folder, SETTINGS.limits)


def _is_young(path: Path) -> bool:
    """Whether it may belong to a transfer of another server on the same folder."""
    return time.time() - path.lstat().st_mtime < 3600


class Transfer:
    """A file that comes in, part by part; what it may take is checked before a part is written."""

    def __init__(self, uploads: Uploads, token: str, path: Path, owner: str, announced: int | None) -> None:
        self._uploads, self._announced = uploads, announced
        self.token, self.path, self.owner, self.written = token, path, owner, 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, part: bytes) -> None:
        """Add a part; raises FileRefused where the file is larger than it may be."""
        self.written += len(part)
        most = self._uploads.limits.upload_bytes if self._announced is None else self._announced
        if self.written > most:
            raise too_large(self.path.name, self._uploads.limits)
        while part:
            part = part[os.write(self._file, part) :]

    def finish(self) -> Upload:
        """Close the file and give it to its owner; raises FileRefused where it is empty or cut short."""
        os.close(self._file)
        self._file = -1
        if not self.written:
            raise refused("E602", f"'{self.path.name}' is empty")
        if self._announced not in (None, self.written):
            raise refused("E602", f"'{self.path.name}' came only in part")
        return self._uploads.finish(self)

    def drop(self) -> None:
        """Delete what came so far."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._uploads.forget(self.token)


def too_large(name: str, limits: HostLimits) -> Exception:
    """Return the refusal of a file that is larger than `upload_bytes`."""
    return refused("E601", f"'{file_name(name)}' is larger than upload_bytes, {megabytes(limits.upload_bytes)}")


def megabytes(n_bytes: int) -> str:
    """Return 200 MB."""
    return f"{n_bytes / 10**6:,.0f} MB" if n_bytes >= 10**6 else f"{n_bytes / 1000:,.1f} KB"

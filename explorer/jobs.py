"""Background work of this process: one job at a time, in the order of asking; it outlives reruns, reloads and tabs.

A job never touches a page. Pages poll it; equal requests share one job.
"""

import os
import sys
import traceback
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, RLock, get_native_id
from time import perf_counter
from typing import Any
from uuid import uuid4

from pruning_core import PruningError
from pruning_core.errors import Cancelled

JOBS_KEPT = 200


def _step_back() -> None:
    """Let pages go first: on Linux a thread has a priority of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), 5)


_pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="job", initializer=_step_back)
_lock = RLock()
_jobs: dict[str, "Job"] = {}


@dataclass
class Job:
    """One piece of background work and what is known of it so far."""

    key: Hashable
    title: str
    id: str = field(default_factory=lambda: uuid4().hex)
    state: str = "waiting"  # then running, then done, stopped or failed
    error: str = ""
    progress: Any = None
    result: Any = None
    started: float = 0.0
    seconds: float = 0.0
    _cancel: Event = field(default_factory=Event)
    _future: "Future[None] | None" = None

    @property
    def live(self) -> bool:
        """Whether it still waits or runs."""
        return self.state in ("waiting", "running")

    def cancel(self) -> None:
        """Ask it to stop; what is finished is kept."""
        self._cancel.set()
        if self._future and self._future.cancel():
            self.state = "stopped"

    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self._cancel.is_set()


def start(key: Hashable, title: str, work: Callable[[Job], Any]) -> Job:
    """Queue `work(job)`, or return the live job with the same key."""
    with _lock:
        for job in _jobs.values():
            if job.key == key and job.live:
                return job
        job = Job(key, title)
        _jobs[job.id] = job
        over = [old for old, other in _jobs.items() if not other.live][: max(0, len(_jobs) - JOBS_KEPT)]
        for old in over:
            del _jobs[old]
        job._future = _pool.submit(_run, job, work)
        return job


def find(job_id: str | None) -> Job | None:
    """Return the job with this id, if this server knows it."""
    return _jobs.get(job_id or "")


def newest(key: Hashable) -> Job | None:
    """Return the newest job with this key, live or finished."""
    return newest_of(lambda other: other == key)


def newest_of(wanted: Callable[[Hashable], bool]) -> Job | None:
    """Return the newest job whose key is wanted; a live one before any finished one."""
    found = [job for job in _jobs.values() if wanted(job.key)]
    return next((job for job in found if job.live), found[-1] if found else None)


def stop_all() -> None:
    """Stop everything; called when the server ends."""
    for job in list(_jobs.values()):
        job.cancel()
    _pool.shutdown(wait=False, cancel_futures=True)


def _run(job: Job, work: Callable[[Job], Any]) -> None:
    job.state, job.started = "running", perf_counter()
    try:
        job.result = work(job)
        job.state = "stopped" if job.cancelled() else "done"
    except Cancelled:
        job.state = "stopped"
    except PruningError as error:
        job.state, job.error = "failed", str(error)
    except Exception:
        job.state, job.error = "failed", "a defect stopped this job; the server's log has the details"
        traceback.print_exc()
    finally:
        job.seconds = perf_counter() - job.started

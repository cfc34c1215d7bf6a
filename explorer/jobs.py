"""Background work: jobs of all sessions in fair order; they outlive reruns, reloads and tabs.

A job never touches a page. Pages poll it; equal requests share one job. Its function runs in a thread here and hands
what takes time to a worker process with `Job.run`.
"""

from collections.abc import Callable, Hashable
from threading import RLock
from typing import Any

from explorer import turns, workers
from explorer.job import Job
from explorer.settings import SETTINGS
from explorer.turns import ALONE, INTERACTIVE, SWEEP
from pruning_core.refusals import refused

__all__ = [
    "ALONE", "INTERACTIVE", "SWEEP", "Job", "find", "is_timing", "newest", "newest_of", "start", "stop_all", "warm",
]  # fmt: skip

JOBS_KEPT = 200
_lock = RLock()
_jobs: dict[str, Job] = {}


def start(key: Hashable, title: str, work: Callable[[Job], Any], *, lane: str = SWEEP, session: str = "") -> Job:
    """Queue `work(job)`, or return the live job with the same key, which then belongs to this session too.

    Reached from other machines, nobody has more than a few: one too many has failed before it begins, and says why.
    """
    with _lock:
        for job in _jobs.values():
            if job.key == key and job.live:
                job.sessions = job.sessions | {session}  # read by others meanwhile
                return job
        job = Job(key, title, lane, {session}, _work=work)
        _jobs[job.id] = job
        if not SETTINGS.local and (refusal := _too_many(session)):
            job.refuse(refusal)
            return job
        over = [old for old, other in _jobs.items() if not other.live][: max(0, len(_jobs) - JOBS_KEPT)]
        for old in over:
            del _jobs[old]
        turns.TURNS.join(job)
        return job


def _too_many(session: str) -> str:
    """Return why this session may not begin another job; empty where it may."""
    limits, live = SETTINGS.limits, [job for job in _jobs.values() if job.live and session in job.sessions]
    most = limits.jobs_running + limits.jobs_waiting
    if len(live) <= most:  # the new one is among them
        return ""
    what = f"{most} of your jobs run or wait, as many as jobs_running and jobs_waiting allow"
    return str(refused("E622", what))


def find(job_id: str | None) -> Job | None:
    """Return the job with this id, if this server knows it."""
    return _jobs.get(job_id or "")


def newest(key: Hashable) -> Job | None:
    """Return the newest job with this key, live or finished."""
    return newest_of(lambda other: other == key)


def newest_of(wanted: Callable[[Hashable], bool]) -> Job | None:
    """Return the newest job whose key is wanted; a live one before any finished one."""
    found = [job for job in list(_jobs.values()) if wanted(job.key)]
    return next((job for job in found if job.live), found[-1] if found else None)


def is_timing() -> bool:
    """Whether pages should leave the processor to work that is timed."""
    return turns.TURNS.is_timing()


def warm() -> None:
    """Let a worker load its libraries in the background, once a page is shown."""
    if SETTINGS.workers:
        workers.POOL.warm()


def stop_all() -> None:
    """Stop everything; called when the server ends."""
    for job in list(_jobs.values()):
        job.cancel()
    workers.POOL.close()

"""What the command line hands to the pages: both run in one process."""

from dataclasses import dataclass, field

from explorer.limits import HostLimits


@dataclass
class Settings:
    """`model` and `data` are what the user named at start; they are offered beside the samples."""

    model: str | None = None
    data: str | None = None
    local: bool = True  # only this machine reaches the server
    workers: int = 0  # processes for sweeps; 0: jobs run in threads of this process, as in notebooks and tests
    allowed_hosts: tuple[str, ...] = ()  # names by which the server may be called; none: any
    access_token: str = ""  # what a visitor has to know; empty: nothing
    limits: HostLimits = field(default_factory=HostLimits)


SETTINGS = Settings()

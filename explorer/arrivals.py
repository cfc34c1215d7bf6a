"""A file that came: its bytes are checked, its loading is tried in a process of its own, and only then is it opened.

All of it is a job, so what was open stays in use meanwhile, and stays open where the file is refused.
"""

from dataclasses import dataclass
from pathlib import PurePath

from explorer import jobs, permission, resources, state
from explorer.jobs import Job
from explorer.settings import SETTINGS
from explorer.uploads import Upload, own_uploads
from pruning_core import guard, sandbox
from pruning_core.errors import PruningError
from pruning_core.guard import KINDS, Limits, suffix_of
from pruning_core.loaders import find_model
from pruning_core.loaders.options import join
from pruning_core.loaders.re_estimated import MARK
from pruning_core.loaders.uploads import path_of

ASKS = {"E240": "as", "E241": "accept", "E242": "as", "E233": "input", "E315": "y"}  # code -> option that would mend it

OTHER_MODEL = ("E310", "E311", "E312")  # data that another model may take


@dataclass(frozen=True)
class Step:
    """How far it is."""

    text: str
    share: float


@dataclass(frozen=True)
class Found:
    """What became of a file: the name under which it can be opened, or its refusal."""

    spec: str
    holds: str  # "model" or "data"
    notes: tuple[str, ...] = ()
    code: str = ""
    sentence: str = ""

    @property
    def option(self) -> str:
        """The option that would mend it; empty where none would."""
        return ASKS.get(self.code, "")


def warm() -> None:
    """Start the process that tries files, which takes seconds, where a file is likely to come."""
    if SETTINGS.workers:
        sandbox.warm(Limits.from_environment())


def start(upload: Upload, options: dict[str, str]) -> Job:
    """Read a file in the background; with `options` as the visitor chose them."""
    owner, model = state.visitor(), state.current().model

    def work(job: Job) -> Found:
        return _read(job, upload, options, model, owner)

    key = ("arrival", upload.token, tuple(sorted(options.items())), model)
    return jobs.start(key, f"Opening {upload.name}", work, lane=jobs.INTERACTIVE, session=state.session())


def _read(job: Job, upload: Upload, options: dict[str, str], model: str | None, owner: str) -> Found:
    spec, holds, limits = join(upload.spec, options), "", Limits.from_environment()
    try:
        job.progress = Step("Checking its bytes", 0.1)
        kind = guard.check(path_of(upload.spec), limits)
        upload, holds = _named_by_content(upload, kind), KINDS[kind].holds
        spec = join(upload.spec, options)
        permission.check_options(options, owner)
        if holds == "data" and model is None:
            return Found(spec, holds)
        job.progress = Step("Trying it in a process of its own", 0.3)
        answer = sandbox.rehearse(spec, holds, model if holds == "data" and _can_be_tried(model) else None, limits)
        spec = answer["spec"]  # of a state dict it names the safer form that was made of it
        own_uploads().admit(spec)
        job.move_to(job.lane)  # raises where it was stopped meanwhile
        job.progress = Step("Opening it", 0.8)
        _prepare(spec, holds, model)
        return Found(spec, holds, tuple(answer.get("notes", ())))
    except PruningError as error:
        sentence = str(error).replace("weights.safetensors", upload.name)  # made of it, to be read more safely
        refusal = Found(spec, holds, code=error.code, sentence=sentence)
        if not refusal.option and error.code not in OTHER_MODEL:
            own_uploads().forget(upload.token)  # nothing would make it fit
        return refusal


def _can_be_tried(model: str | None) -> bool:
    """Whether data can be tried with the model there: one that runs the owner's code is loaded in the server alone."""
    return model is not None and not find_model(model.partition(MARK)[0]).runs_code


def _named_by_content(upload: Upload, kind: str) -> Upload:
    """Give a file the ending of its content, which is what loaders go by."""
    path = PurePath(upload.name)
    ending = suffix_of(kind, path.suffix)
    return upload if path.suffix == ending else own_uploads().rename(upload, f"{path.stem}{ending}")


def _prepare(spec: str, holds: str, model: str | None) -> None:
    """Load and trace it here, so that the page that opens it need not wait."""
    if holds == "model":
        resources.reference(spec, resources.model(spec).data_name)
    else:
        resources.reference(model or "", spec)


def open_found(found: Found) -> None:
    """Open what was found fit in this session."""
    if found.holds == "model":
        state.open_model(found.spec, resources.model(found.spec).data_name)
    else:
        state.open_model(state.current().model, found.spec)

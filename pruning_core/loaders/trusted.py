"""What may run code when it is opened: only what a person on this machine has named as trusted, never a link or upload.

Kept in the environment, so that worker processes trust what their server was started with.
"""

import json
import os

from pruning_core.loaders.options import split

VARIABLE = "PRUNING_EXPLORER_TRUSTED"


def trust(spec: str) -> None:
    """Trust a file, or `package.module:factory`, and the architecture that its text names, in all that is started."""
    name, options = split(spec)
    wanted = {_key(name)} | ({_key(options["as"])} if "as" in options else set())
    os.environ[VARIABLE] = json.dumps(sorted(_trusted() | wanted))


def is_trusted(spec: str) -> bool:
    """Whether the file, or `package.module:factory`, that `spec` names was trusted."""
    return _key(split(spec)[0]) in _trusted()


def _trusted() -> set[str]:
    return set(json.loads(os.environ.get(VARIABLE, "[]")))


def _key(name: str) -> str:
    """Return the real path of a file, whatever way leads to it; another name as it is."""
    return os.path.realpath(name) if os.path.exists(name) else name

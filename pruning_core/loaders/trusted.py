"""What may run code when it is opened: only what a person on this machine has named as trusted, never a link or upload.

Kept in the environment, so that worker processes trust what their server was started with.
"""

import json
import os

from pruning_core.loaders.options import NORMS, split

VARIABLE = "PRUNING_EXPLORER_TRUSTED"


def trust(spec: str) -> None:
    """Trust a file, or `package.module:factory`, and what else its text names, in all that is started from here."""
    os.environ[VARIABLE] = json.dumps(sorted(_trusted() | set(map(_key, _named(spec)))))


def is_trusted(spec: str) -> bool:
    """Whether the file, or `package.module:factory`, that `spec` names was trusted."""
    return _key(split(spec)[0]) in _trusted()


def needs_trust(spec: str) -> bool:
    """Whether any of what the text names was trusted: it has to be again, elsewhere."""
    return any(_key(name) in _trusted() for name in _named(spec))


def _named(spec: str) -> list[str]:
    """Return the names in a text: of a file or function, of its architecture, of the data for its statistics."""
    parts = [split(part) for part in spec.split(NORMS)]
    return [name for name, _ in parts] + [options["as"] for _, options in parts if "as" in options]


def _trusted() -> set[str]:
    return set(json.loads(os.environ.get(VARIABLE, "[]")))


def _key(name: str) -> str:
    """Return the real path of a file, whatever way leads to it; another name as it is."""
    return os.path.realpath(name) if os.path.exists(name) else name

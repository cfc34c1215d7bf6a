"""The state dict inside a checkpoint: under a name, with prefixes, beside other things."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pruning_core.guard.shown import shown
from pruning_core.refusals import refused

WRAPPERS = (  # names under which state dicts are kept, the likeliest first
    *("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "params", "weights"),
    *("ema", "ema_state_dict", "state_dict_ema", "model_ema", "generator", "student", "teacher"),
)
PREFIXES = ("module.", "model.", "net.", "network.")  # DataParallel, Lightning and the like, where all names have it
INSIDE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")  # torch.compile, FSDP: anywhere
COUNTERS = ("n_averaged",)  # of torch.optim.swa_utils.AveragedModel
DEEPEST = 8
SHOWN = 5


def unwrap(found: Mapping[Any, Any]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors by name, and what was done to find them, a phrase each."""
    said: list[str] = []
    for _ in range(DEEPEST):
        key = next((key for key in WRAPPERS if isinstance(found.get(key), Mapping)), None)
        if key is None:
            break
        others = [other for other in WRAPPERS if other != key and isinstance(found.get(other), Mapping)]
        said.append(f"taken from '{key}'" + (f" (not from {_names(others)})" if others else ""))
        found = found[key]
    state = {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not state:
        raise refused("E243", f"the file holds {_names(found) or 'nothing'} and no weights by name")
    if left := [name for name in found if name not in state]:
        said.append(f"without {_names(left)}")
    return _without_prefixes(state, said)


def _without_prefixes(state: dict[str, Tensor], said: list[str]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    for inside in INSIDE:
        if any(inside in name for name in state):
            state = _renamed(state, {name: name.replace(inside, "") for name in state})
            said.append(f"'{inside}' taken out of the names")
    for name in COUNTERS:
        if name in state and len(state) > 1:
            del state[name]
            said.append(f"without '{name}'")
    while prefix := next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in state)), None):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
        said.append(f"prefix '{prefix}' taken off")
    return state, tuple(said)


def _renamed(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """Return the state under other names; two that become the same are refused."""
    found = {names[name]: tensor for name, tensor in state.items()}
    if len(found) < len(state):
        raise refused("E241", "two weights have the same name once what wraps the model is taken out of their names")
    return found


def _names(names: Any) -> str:
    """Return the first few names, each cut short, quoted."""
    first = [shown(str(name)) for name in list(names)[:SHOWN]]
    return ", ".join(first) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")

"""Weights from a file into an architecture: every name and shape matches, or is named in the refusal."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.guard.shown import shown
from pruning_core.refusals import refused

Shape = tuple[int, ...]
SHOWN = 4
NOT_COUNTED = ".num_batches_tracked"  # of batch norms; older files lack it, and only training reads it
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")  # norm.1.weight, which is norm1.weight today
TRAINING_ONLY = ("AuxLogits.", "aux1.", "aux2.")  # heads of Inception and GoogLeNet


@dataclass(frozen=True)
class Difference:
    """Names at which a file and an architecture differ."""

    missing: tuple[str, ...]  # in the file
    unknown: tuple[str, ...]  # to the architecture
    shapes: Mapping[str, tuple[Shape, Shape]]  # (in the file, in the architecture)

    @property
    def names(self) -> set[str]:
        """All of them."""
        return {*self.missing, *self.unknown, *self.shapes}

    def classes(self) -> int | None:
        """Return the number of classes in the file, where the last layer's rows are all that differs; else None."""
        rows = {file[:1] for file, model in self.shapes.values() if len(file) == len(model) and file[1:] == model[1:]}
        alike = len(rows) == 1 and all(file[1:] == model[1:] for file, model in self.shapes.values())
        return next(iter(rows))[0] if alike and rows != {()} else None


def difference(state: Mapping[str, Tensor], module: nn.Module) -> Difference:
    """Compare names and shapes; a weight tied to one that the file has is not missing."""
    wanted = wanted_by(module)
    there = {id_of(wanted[name]) for name in state if name in wanted}
    return Difference(
        tuple(
            name
            for name, tensor in wanted.items()
            if name not in state and id_of(tensor) not in there and not name.endswith(NOT_COUNTED)
        ),
        tuple(name for name in state if name not in wanted),
        {
            name: (tuple(tensor.shape), tuple(wanted[name].shape))
            for name, tensor in state.items()
            if name in wanted and tensor.shape != wanted[name].shape
        },
    )


def wanted_by(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of the module's state."""
    return {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}


def id_of(tensor: Tensor) -> tuple[int, tuple[int, ...]]:
    """Return what two names of one tensor have in common."""
    return tensor.data_ptr(), tuple(tensor.shape)


def aligned(state: dict[str, Tensor], module: nn.Module) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the state under the names of the architecture, where one prefix more or less is all that parts them."""
    wanted = wanted_by(module).keys()
    state = {name if name in wanted else OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in state.items()}
    shifts = Counter({("", ""): sum(name in wanted for name in state)})
    for ours, theirs, is_taken in ((state.keys(), wanted, True), (wanted, state.keys(), False)):
        for name in ours:
            for i in range(len(name)):
                if name[i] == "." and name[i + 1 :] in theirs:
                    shifts[(name[: i + 1], "") if is_taken else ("", name[: i + 1])] += 1
    (taken, put), count = max(shifts.items(), key=lambda item: item[1])
    if count <= shifts["", ""]:
        return _without_training_heads(state, wanted, ())
    said = f"prefix '{taken}' taken off" if taken else f"prefix '{put}' put in front"
    renamed = {put + name.removeprefix(taken): tensor for name, tensor in state.items()}
    return (state, ()) if len(renamed) < len(state) else _without_training_heads(renamed, wanted, (said,))


def _without_training_heads(
    state: dict[str, Tensor], wanted: Iterable[str], said: tuple[str, ...]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    heads = {name for name in state if name.startswith(TRAINING_ONLY)}.difference(wanted)
    kept = {name: tensor for name, tensor in state.items() if name not in heads}
    return kept, (*said, "without the heads that only training uses") if heads else said


def check(found: Difference, accept: Iterable[str], file: str, architecture: str) -> None:
    """Refuse what differs, unless exactly these names are accepted."""
    accepted = set(accept)
    if found.names == accepted:
        return
    where = f"'{file}' and {architecture} differ"
    if needless := sorted(accepted - found.names):
        raise refused("E241", f"{where}, but not at {_some(needless)}, which the accepted names hold")
    left = found.names - accepted
    phrases = {
        "in the file are missing": [name for name in found.missing if name in left],
        "the architecture does not know": [name for name in found.unknown if name in left],
        "have another shape": [name for name in found.shapes if name in left],
    }
    what = "; ".join(f"{phrase}: {_some(names, found.shapes)}" for phrase, names in phrases.items() if names)
    raise refused("E241" if left - set(found.shapes) else "E242", f"{where}: {what}")


def fill(module: nn.Module, state: Mapping[str, Tensor], accept: Iterable[str]) -> tuple[str, ...]:
    """Write the weights into the module, as float32, and return what was done, a phrase each."""
    accepted, wanted = set(accept), wanted_by(module)
    taken = {name: state[name] for name in wanted if name in state and name not in accepted}
    _check_ties(taken, wanted)
    with torch.no_grad():
        for name, tensor in taken.items():
            wanted[name].copy_(_plain(name, tensor, wanted[name]))
    said = [f"all {len(taken)} weights and buffers of the file" if not accepted else f"{len(taken)} of the file"]
    if random := sorted(accepted & wanted.keys()):
        said.append(f"accepted as random (seed 0): {_some(random)}")
    if ignored := sorted(accepted - wanted.keys()):
        said.append(f"accepted as unused: {_some(ignored)}")
    types = {tensor.dtype for tensor in taken.values() if tensor.is_floating_point()} - {torch.float32}
    return (*said, *(f"{str(kind).removeprefix('torch.')} turned into float32" for kind in sorted(types, key=str)))


def _plain(name: str, tensor: Tensor, wanted: Tensor) -> Tensor:
    """Return the tensor; what only becomes a weight by more than a change of precision is refused."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_complex():
        kind = "quantised" if tensor.is_quantized else f"{tensor.dtype}, {tensor.layout} on {tensor.device}"
        raise refused("E207", f"weight {shown(name)} is {kind}, not a plain tensor of numbers".replace("torch.", ""))
    if tensor.is_floating_point() != wanted.is_floating_point():
        kinds = f"{tensor.dtype}, but the architecture has {wanted.dtype}".replace("torch.", "")
        raise refused("E207", f"weight {shown(name)} is {kinds}")
    return tensor


def _check_ties(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Refuse a file in which the two names of one weight hold different numbers."""
    names = defaultdict[tuple[int, tuple[int, ...]], list[str]](list)
    for name in state:
        names[id_of(wanted[name])].append(name)
    for first, *others in names.values():
        for other in others:
            if wanted[first].numel() and not torch.equal(state[first], state[other]):
                raise refused("E241", f"the architecture has one weight for '{first}' and '{other}', the file has two")


def _some(names: Iterable[str], shapes: Mapping[str, tuple[Shape, Shape]] | None = None) -> str:
    """Return the first few names, with both shapes where they differ."""
    listed = list(names)
    first = ", ".join(shown(name) + _apart((shapes or {}).get(name)) for name in listed[:SHOWN])
    return first + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")


def _apart(shapes: tuple[Shape, Shape] | None) -> str:
    return "" if shapes is None else f" {shapes[0]} instead of {shapes[1]}"

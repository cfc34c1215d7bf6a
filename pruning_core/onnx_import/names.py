"""Names of weights: those of the file, made into valid dotted names of torch, each used once."""

import re
from collections.abc import Sequence

from torch import nn

from pruning_core.onnx_import.table import Node

GENERATED = re.compile(
    r"(onnx::\w+_\d+|_?val_\d+|_?[tv]_\d+|const\w*_\d+|tmp_?\d*|arg\d+\w*|[\d_.:/]*)$", re.IGNORECASE
)
LEAVES = ("weight", "bias", "running_mean", "running_var", "kernel", "gamma", "beta", "moving_mean", "moving_variance")
_NOISE = re.compile(r"(ReadVariableOp|BiasAdd|Conv2D|Conv1D|MatMul|Tensordot|StatefulPartitionedCall)(_\d+)?$")


def base_of(initializers: Sequence[str], node: Node) -> str:
    """Return the dotted name of a layer: of its weight or bias, of the module that it came from, of its node."""
    for name in initializers:
        if not GENERATED.match(name) and (parts := parts_of(name)):
            return ".".join(parts[:-1] if len(parts) > 1 and parts[-1].lower() in LEAVES else parts)
    if parts := parts_of(node.scope):
        return ".".join(parts)
    parts = parts_of(node.name)
    if parts and re.fullmatch(rf"({node.operator}|MatMul|Gemm)(_\d+)?", parts[-1]):
        parts = parts[:-1]
    if parts and not GENERATED.match(parts[-1]) and not re.fullmatch(r"node_\w*", parts[-1]):
        return ".".join(parts)
    return node.operator.lower()


def value_name(initializer: str) -> str:
    """Return the dotted name of a constant that is no layer's weight."""
    return "constant" if GENERATED.match(initializer) else ".".join(parts_of(initializer)) or "constant"


def parts_of(name: str) -> list[str]:
    """Return the parts of a path with slashes or dots: letters, digits and underscores; repeated scopes once."""
    scopes: list[str] = []
    for scope in re.split(r"[/\\]|::", name.split(":0")[0]):
        scope = re.sub(r"\.+", ".", re.sub(r"[^\w.]", "_", scope, flags=re.ASCII)).strip(".")
        if not scope or (_NOISE.fullmatch(scope) and "/" in name):
            continue
        before = ".".join(scopes)
        if before and scope.startswith(before.rsplit(".", 1)[-1] + "."):  # torch's scopes repeat what encloses them
            scope = scope[len(before.rsplit(".", 1)[-1]) + 1 :]
        scopes += [part for part in scope.split(".") if part]
    return scopes


def free_name(root: nn.Module, wanted: str) -> str:
    """Return `wanted`, or a name near it, that no tensor, submodule or attribute on its way has yet."""
    *path, leaf = (_allowed(part) for part in wanted.split("."))
    path = _free_path(root, path)
    owner: nn.Module | None = root
    for part in path:
        owner = owner._modules.get(part) if owner is not None else None
    candidate, count = leaf, 2
    while owner is not None and hasattr(owner, candidate):
        candidate, count = f"{leaf}_{count}", count + 1
    return ".".join([*path, candidate])


def _free_path(root: nn.Module, path: list[str]) -> list[str]:
    """Change a part that is not a submodule but something else already."""
    owner: nn.Module | None = root
    found = []
    for part in path:
        while owner is not None and hasattr(owner, part) and part not in owner._modules:
            part += "_"
        found.append(part)
        owner = owner._modules.get(part) if owner is not None else None
    return found


def _allowed(part: str) -> str:
    """A part of a new submodule's path must not hide what every module has."""
    return part + "_" if hasattr(nn.Module, part) or part in ("training", "forward") else part or "_"

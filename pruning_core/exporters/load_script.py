"""A Python file that builds the pruned model again, without pickles and without this package."""

import ast
from pathlib import Path

import torch

from pruning_core.errors import ExportError
from pruning_core.exporters.seam import EXPORTERS, Bundle, exporter, known
from pruning_core.model import Architecture
from pruning_core.slimming import LivingModule, python_source

TEMPLATE = '''\
# Builds the pruned model {name!r} from this file and {weights!r} beside it; nothing is unpickled.
# Needs {packages}. Run it to list the tensors, or: from load_pruned import load; model = load()
{source}

from pathlib import Path as _Path

from safetensors.torch import load_file as _load_file


def load(folder=None):
    """Return the pruned model in evaluation mode; the weights are read from `folder`, else from beside this file."""
    state = _load_file((_Path(folder) if folder else _Path(__file__).resolve().parent) / {weights!r})
    zeros = sum(int((tensor == 0).sum()) for tensor in state.values())
    if zeros != {zeros}:
        raise ValueError(f"{{zeros}} zeros in the weights, not {zeros} as exported; the files do not belong together")
    model = {expression}
    model.load_state_dict(state, strict=True)
    return model.eval()


if __name__ == "__main__":
    for _name, _tensor in load().state_dict().items():
        _zeros = int((_tensor == 0).sum())
        print(f"{{_name:<48}} {{str(tuple(_tensor.shape)):<20}} {{_zeros:>9}} of {{_tensor.numel():>9}} zero")
'''


@exporter("load_script", label="Loader", file_name="load_pruned.py", needs={"architecture"})
def write_script(bundle: Bundle, path: Path) -> None:
    """Write a script that rebuilds the model from masked.safetensors and checks the number of zeros.

    A model whose norms lose channels is no longer the one that its source builds: a flat graph of operators is written.
    """
    architecture = known(bundle.model.architecture)
    if isinstance(bundle.masked, LivingModule):
        architecture = Architecture(python_source(bundle.masked, "MaskedModel"), "MaskedModel()")
    text = TEMPLATE.format(
        name=bundle.model.name,
        weights=EXPORTERS["safetensors"].file_name,
        packages=_packages(architecture.source),
        source=architecture.source.strip(),
        expression=architecture.expression,
        zeros=sum(int(torch.count_nonzero(tensor == 0)) for tensor in bundle.masked.state_dict().values()),
    )
    _check(text)
    path.write_text(text, "utf-8")


def _packages(source: str) -> str:
    others = ("torchvision", "timm", "transformers")
    used = [name for name in others if f"import {name}" in source or f"from {name}" in source]
    return ", ".join(["torch", "safetensors", *used])


def _check(text: str) -> None:
    """Refuse source that is no Python, or that has a `load` of its own."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise ExportError(f"the model's source is not valid Python: {error}") from None
    if sum(getattr(node, "name", "") == "load" for node in tree.body) > 1:
        raise ExportError("the model's source defines `load`, the name that load_pruned.py needs; rename it")

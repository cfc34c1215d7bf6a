"""The slimmed model: its weights, and a Python file that builds it without pickles and without this package."""

from pathlib import Path

from pruning_core.exporters.seam import Bundle, exporter, known
from pruning_core.report import weights_file
from pruning_core.slimming import python_source

WEIGHTS = "slimmed.safetensors"
LOAD = '''

def load(folder=None):
    """Return the slimmed model in evaluation mode; the weights are read from `folder`, else from beside this file."""
    from pathlib import Path

    from safetensors.torch import load_file

    model = SlimmedModel()
    model.load_state_dict(load_file((Path(folder) if folder else Path(__file__).resolve().parent) / {weights!r}))
    return model.eval()


if __name__ == "__main__":
    for name, tensor in load().state_dict().items():
        print(f"{{name:<48}} {{tuple(tensor.shape)}}")
'''


@exporter("slimmed_weights", label="Slimmed weights", file_name=WEIGHTS, needs={"slimmed"})
def write_slimmed_weights(bundle: Bundle, path: Path) -> None:
    """Write the state of the slimmed model: the tensors without what was removed."""
    path.write_bytes(weights_file(bundle.model, bundle.plan, known(bundle.slimmed).graph))


@exporter("slimmed_script", label="Slimmed loader", file_name="load_slimmed.py", needs={"slimmed"})
def write_slimmed_script(bundle: Bundle, path: Path) -> None:
    """Write a script that rebuilds the slimmed model from slimmed.safetensors with torch alone."""
    path.write_text(python_source(known(bundle.slimmed).graph) + LOAD.format(weights=WEIGHTS), "utf-8")

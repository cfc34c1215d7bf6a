"""Train the larger networks for a few epochs on the shipped clothes, so that their sweeps mean something.

`python -m tests.benchmarks.train` writes out/benchmarks/NAME.safetensors; half an hour on one quiet core.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from sample_models.datasets import load_arrays
from sample_models.training import accuracy, fit, splits
from tests.benchmarks.architectures import LARGER, Enlarged
from tests.benchmarks.common import progress

FOLDER = Path(__file__).parents[2] / "out" / "benchmarks"


def train(name: str, n: int) -> float:
    """Train one network on `n` images, write its weights and return its accuracy on the validation images."""
    about = LARGER[name]
    data, module = Enlarged(about.side), about.random()
    training, validation, _ = splits(load_arrays("fashion_mnist"))
    training = type(training)(training.images[:n], training.labels[:n])
    torch.manual_seed(0)
    fit(
        module,
        about.recipe,
        data,
        training,
        validation,
        on_step=lambda: None,
        on_epoch=lambda epoch, loss, found: progress(f"{name}, epoch {epoch}: loss {loss:.3f}, accuracy {found:.3f}"),
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, FOLDER / f"{name}.safetensors")
    return accuracy(module, validation, data)


def main() -> None:
    """Train the named networks."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", help=f"of {', '.join(LARGER)} (default: all)")
    options.add_argument("--n", type=int, default=8000, help="images")
    given = options.parse_args()
    torch.set_num_threads(1)
    for name in given.names or LARGER:
        progress(f"{name}: {train(name, given.n):.4f}")


if __name__ == "__main__":
    main()

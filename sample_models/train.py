"""Re-create a sample's weight file: `python -m sample_models.train NAME [--data FILE.npz]`.

The images come from `--data`, an .npz with the full set, or else are downloaded through torchvision.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save
from torch import nn

from sample_models.datasets import DATASETS, ArraySet, download_arrays, read_arrays
from sample_models.recipes import RECIPES, Recipe
from sample_models.registry import PACKAGE_DIR, Record, Sample, find, load_weights, read_records
from sample_models.training import Split, accuracy, fit, splits


def main(argv: Sequence[str] | None = None) -> None:
    """Train one sample and record the result."""
    options = parse(argv)
    sample = find(options.name)
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = RECIPES[sample.name]
    if options.epochs:
        recipe = replace(recipe, epochs=options.epochs)
    data = DATASETS[sample.dataset]
    arrays = read_arrays(options.data) if options.data else download_arrays(data, options.cache)
    train_sample(sample, recipe, arrays, seed=options.seed, out=options.out)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line options."""
    parser = argparse.ArgumentParser(prog="python -m sample_models.train", description=__doc__)
    parser.add_argument("name", choices=list(RECIPES))
    parser.add_argument("--data", type=Path, help="an .npz with x_train, y_train, x_test, y_test (default: download)")
    parser.add_argument("--cache", type=Path, default=Path("downloads"), help="folder for downloads")
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--out", type=Path, default=PACKAGE_DIR, help="folder for weights/ and records.json")
    return parser.parse_args(argv)


def train_sample(sample: Sample, recipe: Recipe, arrays: ArraySet, *, seed: int, out: Path) -> Record:
    """Train, store as fp16, measure what was stored, record it: the test images are used once, at the end."""
    torch.manual_seed(seed)
    model, (train, validation, test) = sample.build(), splits(arrays)
    started = time.perf_counter()
    fit_with_bar(model, sample, recipe, train, validation)
    seconds = time.perf_counter() - started
    path = save_half(model, out / "weights" / f"{sample.name}.safetensors")
    stored = load_weights(sample.build(), path)
    record = Record(
        validation_accuracy=round(accuracy(stored, validation, DATASETS[sample.dataset]), 5),
        test_accuracy=round(accuracy(stored, test, DATASETS[sample.dataset]), 5),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        params=sum(p.numel() for p in stored.parameters()),
        epochs=recipe.epochs,
        seed=seed,
        torch_version=torch.__version__,
        seconds=round(seconds),
    )
    write_record(out / "records.json", sample.name, record)
    return record


def fit_with_bar(model: nn.Module, sample: Sample, recipe: Recipe, train: Split, validation: Split) -> None:
    """`fit` under a progress bar, with a line for each epoch."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task(sample.title, total=recipe.epochs * (len(train) // recipe.batch_size))

        def report(epoch: int, loss: float, validation_accuracy: float) -> None:
            progress.console.print(f"epoch {epoch}: loss {loss:.4f}, validation {validation_accuracy:.2%}")

        data = DATASETS[sample.dataset]
        fit(model, recipe, data, train, validation, on_step=lambda: progress.advance(task), on_epoch=report)


def save_half(model: nn.Module, path: Path) -> Path:
    """Write the state as fp16 safetensors and return `path`; integer counters stay as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        key: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for key, tensor in model.state_dict().items()
    }
    path.write_bytes(save(state))  # save_file would leave a file that only its owner can read
    return path


def write_record(path: Path, name: str, record: Record) -> None:
    """Replace the record of `name`, keeping the others."""
    records = read_records(path) | {name: record}
    path.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

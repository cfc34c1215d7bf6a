"""Re-create the shipped image sets from the full ones: `python -m sample_models.make_data [--data-dir DIR]`.

8,000 training images come from the part of the full training set that the samples were trained on; the last 2,000
come from the part that training held out, so choosing by them is honest. Every class is equally frequent in both.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sample_models.datasets import DATA_DIR, DATASETS, ArraySet, download_arrays, n_held_out, read_arrays

N_TRAINED = 8000  # images per set, before the validation slice
SEED = 0


def main(argv: Sequence[str] | None = None) -> None:
    """Write one .npz per data set."""
    parser = argparse.ArgumentParser(prog="python -m sample_models.make_data", description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="folder with mnist.npz and fashion_mnist.npz (default: download)")
    parser.add_argument("--cache", type=Path, default=Path("downloads"), help="folder for downloads")
    parser.add_argument("--out", type=Path, default=DATA_DIR, help="folder for the small files")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, data in DATASETS.items():
        stored = options.data_dir / f"{name}.npz" if options.data_dir else None
        full = read_arrays(stored) if stored else download_arrays(data, options.cache)
        small = reduced(full, n_trained=N_TRAINED, n_validation=data.n_validation, seed=SEED)
        np.savez_compressed(options.out / f"{name}.npz", allow_pickle=False, **small)


def reduced(full: ArraySet, *, n_trained: int, n_validation: int, seed: int) -> ArraySet:
    """The test images, and `n_trained + n_validation` training images whose last ones were held out of training."""
    rng = np.random.default_rng(seed)
    labels = full["y_train"]
    end = len(labels) - n_held_out(len(labels))
    trained = balanced_choice(labels[:end], n_trained, rng)
    validation = balanced_choice(labels[end:], n_validation, rng) + end
    picked = np.concatenate((trained, validation))
    return {
        "x_train": full["x_train"][picked],
        "y_train": labels[picked],
        "x_test": full["x_test"],
        "y_test": full["y_test"],
    }


def balanced_choice(labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` indices into `labels` in random order, equally many of each class."""
    classes = np.unique(labels)
    if n % len(classes):
        raise ValueError(f"{n} images cannot be shared equally by {len(classes)} classes")
    per_class = n // len(classes)
    picked = [rng.choice(np.flatnonzero(labels == label), per_class, replace=False) for label in classes]
    return rng.permutation(np.concatenate(picked))


if __name__ == "__main__":
    main()

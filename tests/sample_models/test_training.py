"""Training: augmentation by hand, batch-norm statistics, and a whole tiny run through the command."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sample_models import SAMPLES, build, train
from sample_models.datasets import MNIST, ArraySet
from sample_models.recipes import RECIPES, Recipe
from sample_models.registry import load_weights
from sample_models.training import Split, accuracy, augment, batches, make_optimizer, refresh_batch_norm, splits

RECIPE = Recipe(epochs=1, optimizer="adamw", peak_lr=1e-3, weight_decay=0.1)


def single_pixel_images(n: int, row: int, column: int) -> torch.Tensor:
    images = torch.zeros(n, 28, 28, dtype=torch.uint8)
    images[:, row, column] = 9
    return images


def test_without_shift_or_flip_nothing_changes():
    images = torch.randint(0, 256, (5, 28, 28), dtype=torch.uint8)
    assert torch.equal(augment(images, shift=0, with_flip=False), images)


def test_shift_reaches_every_offset_and_no_other():
    torch.manual_seed(0)
    moved = augment(single_pixel_images(2000, 10, 12), shift=2, with_flip=False)
    assert moved.dtype == torch.uint8
    assert moved.flatten(1).sum(1).tolist() == [9] * 2000
    places = {(row, column) for _, row, column in moved.nonzero().tolist()}
    assert places == {(row, column) for row in range(8, 13) for column in range(10, 15)}


def test_flip_mirrors_about_half():
    torch.manual_seed(0)
    moved = augment(single_pixel_images(1000, 10, 3), shift=0, with_flip=True)
    columns = moved.nonzero()[:, 2]
    assert set(columns.tolist()) == {3, 24}
    assert 400 < int((columns == 24).sum()) < 600


def test_shifted_out_pixels_are_lost_not_wrapped():
    torch.manual_seed(0)
    moved = augment(single_pixel_images(500, 0, 0), shift=1, with_flip=False)
    places = {(row, column) for _, row, column in moved.nonzero().tolist()}
    assert places == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_splits_hold_out_the_end(mnist):
    first, validation, test = splits(mnist)
    assert (len(first), len(validation), len(test)) == (8000, 2000, 10_000)
    assert torch.equal(validation.images, torch.from_numpy(mnist["x_train"][8000:]))


def test_an_epoch_shows_each_image_at_most_once():
    images = torch.arange(200, dtype=torch.uint8)[:, None, None].expand(200, 28, 28)
    recipe = replace(RECIPE, batch_size=64, shift=0)
    seen = torch.cat([labels for _, labels in batches(Split(images, torch.arange(200)), recipe, MNIST)])
    assert len(seen) == len(set(seen.tolist())) == 192


def test_weight_decay_spares_biases_norms_and_tokens():
    model = build("vit_fashion")
    decayed, free = make_optimizer(model, RECIPE).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    spared = {id(p) for p in free["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in spared}
    assert {"class_token", "positions", "norm.weight", "fc.bias"} <= names
    assert {name for name, p in model.named_parameters() if id(p) not in spared and p.ndim < 2} == set()
    assert "patches.weight" not in names


def test_batch_norm_statistics_are_those_of_the_training_images(mnist):
    model = nn.Sequential(nn.BatchNorm2d(1))
    train_split = splits(mnist)[0]
    refresh_batch_norm(model, train_split, MNIST)
    inputs = MNIST.normalise(train_split.images)
    assert model[0].running_mean.item() == pytest.approx(inputs.mean().item(), abs=1e-3)
    assert model[0].running_var.item() == pytest.approx(inputs.var().item(), rel=1e-2)
    assert not model.training


def test_accuracy_by_hand():
    answers = nn.Sequential(nn.Flatten(), nn.Linear(784, 2))
    nn.init.zeros_(answers[1].weight)
    answers[1].bias.data = torch.tensor([0.0, 1.0])  # always class 1
    split = Split(torch.zeros(4, 28, 28, dtype=torch.uint8), torch.tensor([1, 0, 1, 1]))
    assert accuracy(answers, split, MNIST) == 0.75


def small_file(mnist: ArraySet, path) -> None:
    """2,500 images, of which training holds out 500."""
    test = {key: mnist[key][:1000] for key in ("x_test", "y_test")}
    np.savez(path, x_train=mnist["x_train"][:2500], y_train=mnist["y_train"][:2500], **test)


def test_one_epoch_learns_and_records(mnist, tmp_path):
    small_file(mnist, tmp_path / "small.npz")
    argv = ["lenet_300_100", "--data", str(tmp_path / "small.npz"), "--epochs", "1", "--out", str(tmp_path)]
    (tmp_path / "records.json").write_text('{"other": {}}', encoding="utf-8")
    train.main(argv)
    records = json.loads((tmp_path / "records.json").read_text(encoding="utf-8"))
    assert set(records) == {"other", "lenet_300_100"}
    record = records["lenet_300_100"]
    assert record["validation_accuracy"] > 0.6  # chance is 0.1
    assert (record["epochs"], record["seed"], record["params"]) == (1, 0, 266_610)
    stored = load_weights(build("lenet_300_100"), tmp_path / "weights" / "lenet_300_100.safetensors")
    test = splits({**mnist, "x_test": mnist["x_test"][:1000], "y_test": mnist["y_test"][:1000]})[2]
    assert accuracy(stored, test, MNIST) == pytest.approx(record["test_accuracy"], abs=0.0011)


def test_same_seed_same_file(mnist, tmp_path):
    arrays = {key: values[:400] for key, values in mnist.items()}
    recipe = replace(RECIPES["lenet_300_100"], epochs=1)
    hashes = [
        train.train_sample(SAMPLES["lenet_300_100"], recipe, arrays, seed=seed, out=tmp_path)["sha256"]
        for seed in (3, 3, 4)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_every_sample_has_a_recipe():
    assert set(RECIPES) == set(SAMPLES)

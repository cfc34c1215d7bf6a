"""Every weight file is the one that was recorded, and is as accurate as recorded."""

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file, save_file

from sample_models import DATASETS, SAMPLES, build, load, load_arrays
from sample_models.registry import WEIGHTS_DIR, load_weights
from sample_models.training import Split, accuracy

FLOORS = {
    "lenet_300_100": 0.983,
    "guide_cnn": 0.991,
    "resnet_fashion": 0.920,
    "mobilenet_fashion": 0.910,
    "vit_fashion": 0.885,
}


def test_every_sample_has_a_floor_and_every_weight_file_a_sample():
    assert set(FLOORS) == set(SAMPLES) == {path.stem for path in WEIGHTS_DIR.glob("*.safetensors")}


def split_of(sample_name: str, part: slice) -> Split:
    arrays = load_arrays(SAMPLES[sample_name].dataset)
    return Split(torch.from_numpy(arrays["x_test"][part]), torch.from_numpy(arrays["y_test"][part]).long())


def test_accuracy_on_some_test_images_is_within_chance_of_the_recorded_one(sample_name):
    sample, n = SAMPLES[sample_name], 1000
    measured = accuracy(load(sample_name), split_of(sample_name, slice(n)), DATASETS[sample.dataset])
    standard_error = math.sqrt(sample.test_accuracy * (1 - sample.test_accuracy) / n)
    assert measured == pytest.approx(sample.test_accuracy, abs=4 * standard_error)


@pytest.mark.slow
def test_accuracy_on_all_test_images(sample_name):
    sample, test = SAMPLES[sample_name], split_of(sample_name, slice(None))
    assert len(test) == 10_000
    halves = [Split(test.images[part::2], test.labels[part::2]) for part in (0, 1)]  # one for each core
    model, data = load(sample_name), DATASETS[sample.dataset]
    with ThreadPoolExecutor(2) as pool:
        measured = sum(pool.map(lambda half: accuracy(model, half, data), halves)) / 2
    assert measured >= FLOORS[sample_name]
    assert measured == pytest.approx(sample.test_accuracy, abs=0.0005)


def test_hash_and_params_are_the_recorded_ones(sample_name):
    sample = SAMPLES[sample_name]
    assert hashlib.sha256(sample.weights_path.read_bytes()).hexdigest() == sample.sha256
    assert sum(p.numel() for p in build(sample_name).parameters()) == sample.params


def test_file_is_half_precision_and_model_is_single(sample_name):
    stored = load_file(SAMPLES[sample_name].weights_path)
    assert {tensor.dtype for tensor in stored.values()} <= {torch.float16, torch.int64}
    model = load(sample_name)
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    name, weight = next(iter(model.named_parameters()))
    assert torch.equal(weight, stored[name].float())


def test_a_missing_or_extra_tensor_is_refused(tmp_path):
    stored = load_file(SAMPLES["lenet_300_100"].weights_path)
    save_file({**stored, "fc4.weight": torch.zeros(1)}, tmp_path / "extra.safetensors")
    save_file({k: v for k, v in stored.items() if k != "fc1.bias"}, tmp_path / "missing.safetensors")
    with pytest.raises(RuntimeError, match=r"Unexpected key.*fc4\.weight"):
        load_weights(build("lenet_300_100"), tmp_path / "extra.safetensors")
    with pytest.raises(RuntimeError, match=r"Missing key.*fc1\.bias"):
        load_weights(build("lenet_300_100"), tmp_path / "missing.safetensors")


def test_all_weights_together_are_small():
    sizes = [sample.weights_path.stat().st_size for sample in SAMPLES.values()]
    assert 0 < sum(sizes) <= 12_000_000
    assert SAMPLES["guide_cnn"].weights_path.stat().st_size <= 6_600_000


def test_unknown_sample_names_the_known_ones():
    with pytest.raises(KeyError, match="no sample model named 'lenet'; there are lenet_300_100"):
        load("lenet")

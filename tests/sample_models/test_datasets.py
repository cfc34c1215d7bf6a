"""The shipped image sets: shapes, balance, normalisation, and an honest validation slice."""

import numpy as np
import pytest
import torch

from sample_models import DATASETS, load_arrays
from sample_models.datasets import ARRAY_KEYS, DATA_DIR, MNIST, download_arrays, n_held_out
from sample_models.make_data import balanced_choice, main, reduced


@pytest.fixture(params=list(DATASETS))
def data(request):
    return DATASETS[request.param]


def fake_full_set(n_train: int = 300, n_test: int = 20) -> dict[str, np.ndarray]:
    """Images whose first two pixels spell their own index; labels 0, 1, 2 in turn."""
    images = np.zeros((n_train, 28, 28), dtype=np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(n_train), 256)
    labels = (np.arange(n_train) % 3).astype(np.uint8)
    test = {"x_test": np.ones((n_test, 28, 28), dtype=np.uint8), "y_test": np.zeros(n_test, dtype=np.uint8)}
    return {"x_train": images, "y_train": labels, **test}


def index_of(images: np.ndarray) -> np.ndarray:
    return images[:, 0, 0].astype(int) * 256 + images[:, 0, 1]


def test_shapes_types_and_labels(data):
    arrays = load_arrays(data.name)
    for part in ("train", "test"):
        assert arrays[f"x_{part}"].shape == (10_000, 28, 28)
        assert arrays[f"y_{part}"].shape == (10_000,)
        assert arrays[f"x_{part}"].dtype == arrays[f"y_{part}"].dtype == np.uint8
    assert len(data.class_names) == len(set(data.class_names)) == 10
    assert arrays["x_train"].max() == 255


def test_training_and_validation_are_balanced(data):
    labels = load_arrays(data.name)["y_train"]
    assert np.bincount(labels[: -data.n_validation]).tolist() == [800] * 10
    assert np.bincount(labels[-data.n_validation :]).tolist() == [200] * 10
    assert np.bincount(load_arrays(data.name)["y_test"], minlength=10).min() > 800


def test_no_image_twice_in_the_training_file(data):
    images = load_arrays(data.name)["x_train"]
    assert len({image.tobytes() for image in images}) == len(images)


def test_normalised_training_images_have_mean_0_and_deviation_1(data):
    inputs = data.normalise(torch.from_numpy(load_arrays(data.name)["x_train"]))
    assert inputs.shape == (10_000, 1, 28, 28)
    assert inputs.mean().item() == pytest.approx(0, abs=0.02)
    assert inputs.std().item() == pytest.approx(1, abs=0.02)


def test_normalise_by_hand():
    black_and_white = torch.tensor([[[0, 255]]], dtype=torch.uint8)
    expected = torch.tensor([[[[-0.1307 / 0.3081, 0.8693 / 0.3081]]]])
    torch.testing.assert_close(MNIST.normalise(black_and_white), expected)


def test_unknown_data_set_names_the_known_ones():
    with pytest.raises(KeyError, match="no sample data set named 'mnits'; there are mnist, fashion_mnist"):
        load_arrays("mnits")


def test_files_are_small_and_credited(data):
    credits = (DATA_DIR / "CREDITS.md").read_text(encoding="utf-8")
    assert f"`{data.name}.npz`" in credits
    assert data.licence in credits
    assert data.credit.split(" and ")[-1].split(",")[0].split(". ")[-1] in credits  # the last author's name
    assert sum(path.stat().st_size for path in DATA_DIR.glob("*.npz")) <= 12_500_000


@pytest.mark.parametrize(("n_train", "held_out"), [(60_000, 5000), (10_000, 2000), (2500, 500)])
def test_held_out_images(n_train, held_out):
    assert n_held_out(n_train) == held_out


def test_reduced_takes_validation_from_what_training_held_out():
    small = reduced(fake_full_set(), n_trained=60, n_validation=30, seed=0)
    chosen = index_of(small["x_train"])
    assert chosen[:60].max() < 240 <= chosen[60:].min()  # 300 images, the last 60 of them held out
    assert len(set(chosen.tolist())) == 90
    assert (small["y_train"] == chosen % 3).all()
    assert np.bincount(small["y_train"][60:]).tolist() == [10, 10, 10]
    assert len(small["y_test"]) == 20


def test_choice_is_fixed_by_the_seed():
    labels = fake_full_set()["y_train"]
    picks = [balanced_choice(labels, 30, np.random.default_rng(seed)).tolist() for seed in (0, 0, 1)]
    assert picks[0] == picks[1] != picks[2]


def test_unequal_shares_are_refused():
    with pytest.raises(ValueError, match="10 images cannot be shared equally by 3 classes"):
        balanced_choice(fake_full_set()["y_train"], 10, np.random.default_rng(0))


def test_command_rewrites_the_shipped_file_format(tmp_path, monkeypatch):
    monkeypatch.setattr("sample_models.make_data.N_TRAINED", 30)
    monkeypatch.setattr("sample_models.make_data.DATASETS", {"mnist": SmallMnist()})
    np.savez_compressed(tmp_path / "mnist.npz", **fake_full_set())
    main(["--data-dir", str(tmp_path), "--out", str(tmp_path / "small")])
    with np.load(tmp_path / "small" / "mnist.npz") as written:
        assert written["x_train"].shape == (60, 28, 28)
        assert index_of(written["x_train"])[30:].min() >= 240


class SmallMnist:
    n_validation = 30


def test_full_sets_come_through_torchvision(tmp_path, monkeypatch):
    asked = []

    class Source:
        def __init__(self, root: str, train: bool, download: bool) -> None:
            asked.append((root, train, download))
            self.data = torch.full((3 if train else 2, 28, 28), 7, dtype=torch.uint8)
            self.targets = torch.tensor([0, 1, 2] if train else [4, 5])

    monkeypatch.setattr("torchvision.datasets.FashionMNIST", Source)
    arrays = download_arrays(DATASETS["fashion_mnist"], tmp_path)
    assert asked == [(str(tmp_path), True, True), (str(tmp_path), False, True)]
    assert {key: array.dtype for key, array in arrays.items()} == dict.fromkeys(ARRAY_KEYS, np.dtype("uint8"))
    assert arrays["x_train"].shape == (3, 28, 28)
    assert arrays["y_test"].tolist() == [4, 5]

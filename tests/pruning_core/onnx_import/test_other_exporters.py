"""Files of Keras (with its torch backend) and of scikit-learn."""

import contextlib
import io
import os
import warnings

import numpy as np
import pytest
import torch

import pruning_core as pc


@pytest.fixture(scope="module")
def keras():
    """Return Keras with torch as its backend."""
    os.environ["KERAS_BACKEND"] = "torch"
    return pytest.importorskip("keras")


def _written(model, path, inputs):
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        expected = np.asarray(model(inputs).detach())
        model.export(str(path), format="onnx", verbose=False)
    return expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["dense", "images", "LSTM", "GRU", "tokens"])
def test_keras(tmp_path, keras, kind):
    """Dense, convolutional and recurrent networks answer as in Keras; the channels of images can go."""
    layers = keras.layers
    images = [
        *(layers.Conv2D(8, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D()),
        *(layers.DepthwiseConv2D(3, padding="same", strides=2), layers.Conv2D(6, 1, activation="swish")),
        *(layers.GlobalAveragePooling2D(), layers.Dense(4)),
    ]
    networks = {
        "dense": ((20,), "float32", [layers.Dense(32, activation="relu"), layers.Dropout(0.5), layers.Dense(3)]),
        "images": ((16, 16, 3), "float32", images),
        "LSTM": ((4, 5), "float32", [layers.LSTM(6), layers.Dense(3)]),
        "GRU": ((4, 5), "float32", [layers.GRU(6), layers.Dense(3)]),
        "tokens": ((4,), "int32", [layers.Embedding(30, 8), layers.Flatten(), layers.Dense(3)]),
    }
    shape, dtype, stack = networks[kind]
    inputs = np.random.default_rng(0).integers(0, 9, (2, *shape)).astype(dtype)
    expected = _written(keras.Sequential([keras.Input(shape, dtype=dtype), *stack]), tmp_path / "keras.onnx", inputs)
    model = pc.load_model(str(tmp_path / "keras.onnx"))
    with torch.inference_mode():
        np.testing.assert_allclose(model.module(torch.from_numpy(inputs)), expected, 1e-4, 1e-5)
    assert model.graph.layers
    if kind in ("dense", "images"):
        plan, _ = pc.uniform_plan(model, pc.LayerPlan(sparsity=0.3, granularity="output_channel"))
        assert pc.prune(model, plan).slimmed.params < model.graph.params


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn(tmp_path):
    """A classifier gives its probabilities; its label, and names for the classes, are left out."""
    networks, skl2onnx = pytest.importorskip("sklearn.neural_network"), pytest.importorskip("skl2onnx")
    x = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
    classifier = networks.MLPClassifier((12, 8), max_iter=5, random_state=0).fit(
        x, np.array(list("abc"))[(x > 0).sum(1) % 3]
    )
    (tmp_path / "net.onnx").write_bytes(skl2onnx.to_onnx(classifier, x[:1]).SerializeToString())
    model = pc.load_model(str(tmp_path / "net.onnx"))
    with torch.inference_mode():
        np.testing.assert_allclose(model.module(torch.from_numpy(x)), classifier.predict_proba(x), 1e-4, 1e-5)
    assert [layer.weight_shape for layer in model.graph.layers] == [(12, 6), (8, 12), (3, 8)]
    assert "left out of the outputs" in model.note

"""The sample models and their data, which come with the package and need no network."""

import numpy as np
import torch
from torch import nn

import sample_models
from pruning_core.data import Dataset, EvalData, Preprocessing
from pruning_core.loaders.options import split
from pruning_core.loaders.seam import data_loader, model_loader
from pruning_core.loaders.untrained import seed_zero
from pruning_core.model import Architecture, Model


def _untrained(spec: str, _: int | None) -> Model:
    with seed_zero():
        return _model(spec, sample_models.build(spec))


@model_loader(
    "sample",
    form="a sample's name",
    can_load=lambda spec: split(spec)[0] in sample_models.SAMPLES,
    names=lambda: ((sample.name, sample.title) for sample in sample_models.SAMPLES.values()),
    untrained=_untrained,
)
def load_sample(spec: str) -> Model:
    """Load a trained sample model."""
    return _model(spec, sample_models.load(spec), sample_models.SAMPLES[spec].description)


def _model(spec: str, module: nn.Module, note: str = "") -> Model:
    sample = sample_models.SAMPLES[spec]
    images = sample_models.load_arrays(sample.dataset)["x_train"][:2]
    preprocessing = _preprocessing(sample_models.DATASETS[sample.dataset])
    return Model(
        name=spec,
        title=sample.title,
        module=module,
        example_inputs=(preprocessing.apply(torch.from_numpy(images[:, None])),),
        data_name=sample.dataset,
        architecture=Architecture(sample.source_path.read_text("utf-8"), f"{sample.build.__name__}()"),
        note=note,
        preprocessing=preprocessing,
    )


@data_loader(
    "sample",
    form="a sample's name",
    can_load=lambda spec: split(spec)[0] in sample_models.DATASETS,
    names=lambda: ((data.name, data.title) for data in sample_models.DATASETS.values()),
)
def load_sample_data(spec: str, _: Model | None = None) -> Dataset:
    """Load sample data: calibration from the training images, the fixed validation slice, the test images."""
    spec = split(spec)[0]
    data = sample_models.DATASETS[spec]
    arrays = sample_models.load_arrays(spec)
    cut = len(arrays["x_train"]) - data.n_validation
    parts = {
        "calibration": (arrays["x_train"][:cut], arrays["y_train"][:cut]),
        "validation": (arrays["x_train"][cut:], arrays["y_train"][cut:]),
        "test": (arrays["x_test"], arrays["y_test"]),
    }
    splits = {
        split: EvalData(spec, split, x[:, None], y.astype(np.int64), _preprocessing(data), data.class_names)
        for split, (x, y) in parts.items()
    }
    return Dataset(spec, data.title, splits)


def _preprocessing(data: sample_models.SampleData) -> Preprocessing:
    return Preprocessing(scale=1 / 255, mean=(data.mean,), std=(data.std,))

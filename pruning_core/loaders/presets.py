"""SEAM presets: ways in which pixels are commonly prepared, by name. `PRESETS.add(...)` adds one."""

from dataclasses import dataclass, replace

import numpy as np

from pruning_core.data import EvalData, Preprocessing
from pruning_core.fits import parts
from pruning_core.registry import Registry


@dataclass(frozen=True)
class Preset:
    """One member: what is done to pixels from 0 to 255."""

    name: str
    label: str
    pixels: Preprocessing
    doc: str  # where it is used


PRESETS: Registry[Preset] = Registry("preset")

BYTE = 1 / 255
for _preset in (
    Preset(
        "imagenet",
        "ImageNet",
        Preprocessing(BYTE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "Mean and deviation of ImageNet's channels, as torchvision's models were trained.",
    ),
    Preset(
        "cifar10",
        "CIFAR-10",
        Preprocessing(BYTE, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        "Mean and deviation of CIFAR-10's channels.",
    ),
    Preset("mnist", "MNIST", Preprocessing(BYTE, (0.1307,), (0.3081,)), "Mean and deviation of MNIST's digits."),
    Preset(
        "fashion_mnist",
        "Fashion-MNIST",
        Preprocessing(BYTE, (0.2860,), (0.3530,)),
        "Mean and deviation of Fashion-MNIST's clothes.",
    ),
    Preset("zero_to_one", "0 to 1", Preprocessing(BYTE), "Pixels as fractions, as Keras' examples do it."),
    Preset(
        "minus_one_to_one",
        "−1 to 1",
        Preprocessing(BYTE, (0.5,), (0.5,)),
        "Fractions, less a half, by a half: MobileNet and Inception of TensorFlow, ViT of Google.",
    ),
    Preset(
        "caffe",
        "ImageNet of Caffe",
        Preprocessing(1.0, (103.939, 116.779, 123.68), (1.0,), channels="reversed"),
        "Pixels less ImageNet's means, blue before green and red: VGG and ResNet of Caffe and Keras.",
    ),
    Preset("raw", "As stored", Preprocessing(), "Nothing is done; for models that prepare pixels themselves."),
):
    PRESETS.add(_preset.name, _preset)


def on_stored(pixels: Preprocessing, data: EvalData) -> Preprocessing:
    """Return what does to the stored inputs what `pixels` does to pixels from 0 to 255."""
    return replace(pixels, scale=pixels.scale * 255) if are_fractions(data) else pixels


def are_fractions(data: EvalData) -> bool:
    """Whether pixels are stored as floats from 0 to 1."""
    return data.inputs.dtype.kind == "f" and _ends(data)[1] <= 1


def are_pixels(data: EvalData) -> bool:
    """Whether inputs may be pixels as cameras and files have them: no negative number, nothing above 255."""
    least, largest = _ends(data)
    return least >= 0 and largest <= 255


def _ends(data: EvalData) -> tuple[float, float]:
    if data.inputs.dtype == np.uint8:
        return 0.0, 255.0
    ends = [(float(part.min()), float(part.max())) for part in parts(data.inputs)]
    return min(least for least, _ in ends), max(largest for _, largest in ends)

"""How each sample was trained: one recipe per sample, chosen on the validation slice, never on the test images."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """One-cycle training with cross entropy on shifted (and mirrored) images."""

    epochs: int
    optimizer: str  # "adamw" or "sgd" (Nesterov momentum 0.9)
    peak_lr: float  # top of the one-cycle learning rate
    weight_decay: float
    shift: int = 2  # pixels; each image moves by at most this much both ways
    with_flip: bool = False  # clothes may be mirrored, digits may not
    label_smoothing: float = 0.0
    with_bf16: bool = False  # faster only for wide convolutions; depthwise and attention get slower
    batch_size: int = 128


RECIPES: dict[str, Recipe] = {
    "lenet_300_100": Recipe(epochs=20, optimizer="adamw", peak_lr=3e-3, weight_decay=0.05, shift=1),
    "guide_cnn": Recipe(epochs=8, optimizer="adamw", peak_lr=1.5e-3, weight_decay=0.05, with_bf16=True),
    "resnet_fashion": Recipe(
        epochs=18, optimizer="sgd", peak_lr=0.15, weight_decay=5e-4, with_flip=True, with_bf16=True
    ),
    "mobilenet_fashion": Recipe(epochs=10, optimizer="adamw", peak_lr=5e-3, weight_decay=0.05, shift=1, with_flip=True),
    "vit_fashion": Recipe(epochs=20, optimizer="adamw", peak_lr=2e-3, weight_decay=0.05, shift=1, with_flip=True),
}

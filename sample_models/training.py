"""The training loop of the samples: plain torch, on the CPU, with augmentation on whole batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sample_models.datasets import ArraySet, SampleData, n_held_out
from sample_models.recipes import Recipe

EpochReport = Callable[[int, float, float], None]  # epoch, mean training loss, validation accuracy


@dataclass(frozen=True)
class Split:
    """uint8 images (n, 28, 28) with integer labels (n,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def splits(arrays: ArraySet) -> tuple[Split, Split, Split]:
    """Training, validation (the held-out end of the training images) and test images."""
    images, labels = torch.from_numpy(arrays["x_train"]), torch.from_numpy(arrays["y_train"]).long()
    end = len(labels) - n_held_out(len(labels))
    test = Split(torch.from_numpy(arrays["x_test"]), torch.from_numpy(arrays["y_test"]).long())
    return Split(images[:end], labels[:end]), Split(images[end:], labels[end:]), test


def augment(images: Tensor, shift: int, with_flip: bool) -> Tensor:
    """Move each image by up to `shift` pixels both ways and mirror half of them; (n, 28, 28) -> the same shape."""
    n, height, width = images.shape
    padded = nn.functional.pad(images, (shift, shift, shift, shift))  # zeros: the background of both data sets
    top, left = torch.randint(0, 2 * shift + 1, (2, n, 1))  # each (n, 1)
    rows, columns = torch.arange(height) + top, torch.arange(width).expand(n, -1)
    if with_flip:
        columns = torch.where(torch.rand(n, 1) < 0.5, columns.flip(1), columns)
    columns = columns + left
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def batches(split: Split, recipe: Recipe, data: SampleData) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of shuffled, augmented, normalised batches; the incomplete last one is dropped."""
    order = torch.randperm(len(split))
    for start in range(0, len(split) - recipe.batch_size + 1, recipe.batch_size):
        picked = order[start : start + recipe.batch_size]
        images = augment(split.images[picked], recipe.shift, recipe.with_flip)
        yield data.normalise(images).to(memory_format=torch.channels_last), split.labels[picked]


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Weight decay goes to weights only: biases, norms, class token and positions (1-D or leading 1) stay free."""
    decayed = [p for p in model.parameters() if p.ndim > 1 and p.shape[0] > 1]
    free = [p for p in model.parameters() if not (p.ndim > 1 and p.shape[0] > 1)]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.peak_lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=recipe.peak_lr)


def fit(
    model: nn.Module,
    recipe: Recipe,
    data: SampleData,
    train: Split,
    validation: Split,
    *,
    on_step: Callable[[], None],
    on_epoch: EpochReport,
) -> None:
    """Train `model` in place, then estimate its batch-norm statistics anew."""
    model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, recipe)
    n_steps = recipe.epochs * (len(train) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.peak_lr, total_steps=n_steps, pct_start=0.2)
    for epoch in range(1, recipe.epochs + 1):
        model.train()
        losses = []
        for inputs, labels in batches(train, recipe, data):
            losses.append(step(model, optimizer, recipe, inputs, labels))
            schedule.step()
            on_step()
        on_epoch(epoch, sum(losses) / len(losses), accuracy(model, validation, data))
    refresh_batch_norm(model, train, data)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe, inputs: Tensor, labels: Tensor) -> float:
    """One update; returns the loss before it."""
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.with_bf16):
        logits = model(inputs)
    loss = nn.functional.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)  # one bad batch at the peak rate must not end a run
    optimizer.step()
    return loss.item()


@torch.no_grad()
def refresh_batch_norm(model: nn.Module, train: Split, data: SampleData, n_images: int = 20_000) -> None:
    """Batch-norm means and variances over unaugmented images: the running ones saw shifted images and old weights."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # plain average over all batches
    model.train()
    for images in train.images[:n_images].split(500):
        model(data.normalise(images))
    model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, split: Split, data: SampleData) -> float:
    """Fraction of `split` classified correctly, in eval mode."""
    model.eval()
    pairs = zip(split.images.split(100), split.labels.split(100), strict=True)  # 100 images fit the cache, 500 do not
    correct = sum(int((model(data.normalise(images)).argmax(1) == labels).sum()) for images, labels in pairs)
    return correct / len(split)

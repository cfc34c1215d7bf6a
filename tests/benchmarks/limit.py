"""The most that one thread of this machine computes: fp32 matrix products and convolutions that suit it best."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.benchmarks.common import Stopwatch, run

SIDE = 1024


def product() -> tuple[Callable[[], Tensor], float]:
    """A product of square matrices, and its floating point operations."""
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    return lambda: a @ b, 2.0 * SIDE**3


def convolution() -> tuple[Callable[[], Tensor], float]:
    """A 3 x 3 convolution of 64 channels in the layout that suits the library, and its floating point operations."""
    convolve = nn.Conv2d(64, 64, 3, padding=1).eval().to(memory_format=torch.channels_last)
    images = torch.randn(16, 64, 32, 32).contiguous(memory_format=torch.channels_last)
    return lambda: convolve(images), 2.0 * 16 * 32 * 32 * 64 * 64 * 9


@torch.inference_mode()
def limit(repeats: int = 30) -> dict[str, float]:
    """Return the best rate of each in floating point operations per second, multiplications and additions apart."""
    found = {}
    for make in (product, convolution):
        compute, operations = make()
        watch = Stopwatch()
        for _ in range(repeats):
            with watch.time():
                compute()
        found[make.__name__] = round(operations / min(watch.cpu) / 1e9, 1) * 1e9
    return found


if __name__ == "__main__":
    run(lambda: {"operations_per_second": limit()})

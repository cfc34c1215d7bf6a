"""`Cuts`: the examples of a sweep as chunks that tasks are made of; the same chunks whoever measures them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pruning_core.sensitivity.order import Order
from pruning_core.sensitivity.tally import Tally
from pruning_core.sensitivity.tasks import Chunk


class Cuts:
    """The blocks of an order, cut into chunks of at most `size` examples.

    In the preview, block 0, each example is a stratum of its own, since strata are not known yet then; `folded` puts
    its tallies where they belong.
    """

    def __init__(self, order: Order, size: int, dense: NDArray[np.float32] | None = None) -> None:
        self.order, self.size, self.dense = order, size, dense  # outputs (N, ...) of the dense model, if kept
        self.n_blocks = len(order.blocks)

    def chunks(self, block: int) -> tuple[Chunk, ...]:
        """Return the chunks of one block."""
        return tuple(self._chunks(block)) if block else preview_chunks(self.order.blocks[0], self.size)

    def _chunks(self, block: int) -> Iterator[Chunk]:
        examples = self.order.blocks[block]
        for number, start in enumerate(range(0, len(examples), self.size)):
            part = examples[start : start + self.size]
            dense = None if self.dense is None else self.dense[part]
            yield Chunk(block, number, part, self.order.stratum[part], len(self.order.sizes), dense)

    def folded(self, preview: Sequence[Tally]) -> tuple[Tally, ...]:
        """Return the tallies of the preview's examples added up by stratum."""
        sums = [Tally()] * len(self.order.sizes)
        for stratum, tally in zip(self.order.stratum[self.order.blocks[0]], preview, strict=True):
            sums[stratum] += tally
        return tuple(sums)


def preview_chunks(examples: Any, size: int) -> tuple[Chunk, ...]:
    """Return the chunks of the preview, in which each example is a stratum of its own."""
    places = np.arange(len(examples))
    return tuple(
        Chunk(0, number, examples[start : start + size], places[start : start + size], len(examples))
        for number, start in enumerate(range(0, len(examples), size))
    )


def order_to_json(order: Order) -> dict[str, Any]:
    """Return an order as a record keeps it."""
    return {"stratum": order.stratum.tolist(), "blocks": [block.tolist() for block in order.blocks]}


def order_from_json(document: dict[str, Any]) -> Order:
    """Return the order that was kept."""
    stratum = np.array(document["stratum"], dtype=np.int64)
    blocks = tuple(np.array(block, dtype=np.int64) for block in document["blocks"])
    return Order(stratum, tuple(np.bincount(stratum).tolist()), blocks)

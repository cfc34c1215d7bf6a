"""`Line`: one cell of a running sweep, block by block."""

from dataclasses import replace

from pruning_core.sensitivity.cells import Cell, State
from pruning_core.sensitivity.cuts import Cuts
from pruning_core.sensitivity.estimates import Figure, is_settled
from pruning_core.sensitivity.tally import Tally

Key = tuple[str, float]  # layer, sparsity
Tallies = tuple[Tally, ...]


class Line:
    """What is known of one cell. Blocks are added up in their order, whenever they come."""

    def __init__(self, layer: str, sparsity: float, measured_sparsity: float, n_examples: int) -> None:
        self.layer, self.sparsity = layer, sparsity
        self.cell = Cell(layer, sparsity, measured_sparsity, (), (n_examples,), "preview")
        self.blocks: dict[int, Tallies] = {}
        self._cuts: Cuts | None = None

    def learn(self, cuts: Cuts) -> None:
        """Take the strata of the examples, once they are known."""
        self._cuts = cuts
        if self.blocks and not self.cell.done:
            self._update(self.cell.state)

    def add(self, block: int, tallies: Tallies) -> Cell:
        """Add what was measured on one block and return the cell."""
        self.blocks[block] = tallies
        return self._update("refining" if block else "preview")

    def close(self) -> bool:
        """Note that its end was reached, if so; returns whether the cell changed."""
        is_narrow = len(self.blocks) > 1 and is_settled(self.cell.figure)  # a preview alone says too little
        if self.cell.done or not (self._is_whole or is_narrow):
            return False
        self._update("exact" if self._is_whole else "settled")
        return True

    def bracket(self, between: Figure) -> bool:
        """Take what two settled levels say of this one; returns whether the cell changed."""
        if self.cell.done:
            return False
        self._update("bracketed", between)
        return True

    def fail(self, why: str) -> Cell:
        """Give up: the cell says why."""
        self._update("failed", why=why)
        return self.cell

    @property
    def _is_whole(self) -> bool:
        return self._cuts is not None and self.cell.tally.n == sum(self._cuts.order.sizes)

    def _update(self, state: State, between: Figure | None = None, why: str = "") -> Cell:
        sizes = self._cuts.order.sizes if self._cuts else (sum(self.cell.sizes),)
        self.cell = replace(self.cell, strata=self._by_stratum(), sizes=sizes, state=state, between=between, why=why)
        return self.cell

    def _by_stratum(self) -> Tallies:
        if not self.blocks:
            return ()
        if self._cuts is None:  # only the preview is there
            return (sum(self.blocks[0], Tally()),)
        folded = self._cuts.folded
        parts = [tallies if block else folded(tallies) for block, tallies in sorted(self.blocks.items())]
        return tuple(sum(column, Tally()) for column in zip(*parts, strict=True))

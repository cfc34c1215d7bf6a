"""Blocks that tile a weight and compete within the layer: weights, vectors, rows, columns, kernels, rectangles."""

from math import prod
from typing import Annotated

from pruning_core.errors import GranularityError
from pruning_core.granularities.seam import Layout, Shape, granularity, plain
from pruning_core.registry import Setting


@granularity("fine_grained", label="Fine")
def fine_grained(shape: Shape) -> Layout:
    """Single weights compete within the layer (Han et al. 2015, arXiv:1506.02626)."""
    return plain(shape, (1,) * len(shape))


@granularity("vector", label="Vector")
def vector(shape: Shape, *, v: Annotated[int, Setting(2, 256)] = 4) -> Layout:
    """Rows of kernels; in a matrix, 1 x v pieces of its rows (Mao et al. 2017, arXiv:1705.08922)."""
    if prod(shape[2:]) == 1:
        return _vectors_of_matrix(shape, v)
    if shape[-1] == 1:
        raise GranularityError(f"rows of kernels of {shape[2:]} are single weights; fine_grained does the same")
    return plain(shape, (*(1,) * (len(shape) - 1), shape[-1]))


def _vectors_of_matrix(shape: Shape, v: int) -> Layout:
    if shape[1] % v:
        fitting = [str(size) for size in range(2, 17) if shape[1] % size == 0]
        hint = f"v of {' or '.join(fitting)} would fit" if fitting else "no v from 2 to 16 fits"
        raise GranularityError(f"vectors of {v} do not tile rows of {shape[1]}; {hint}")
    return Layout(shape, tuple(range(len(shape))), shape[:2], (1, v))


@granularity("row", label="Row")
def row(shape: Shape) -> Layout:
    """Rows of the matrix that the layer multiplies by: all of one output (Wen et al. 2016, arXiv:1608.03665)."""
    return plain(shape, (1, *shape[1:]))


@granularity("column", label="Column")
def column(shape: Shape) -> Layout:
    """Columns of that matrix: one input position, for all outputs (Wen et al. 2016, arXiv:1608.03665)."""
    return plain(shape, (shape[0], *(1,) * (len(shape) - 1)))


@granularity("kernel", label="Kernel")
def kernel(shape: Shape) -> Layout:
    """Whole kernels: all positions that join one input to one output (Mao et al. 2017, arXiv:1705.08922)."""
    if prod(shape[2:]) == 1:
        raise GranularityError("a weight without kernel positions has no kernels to remove; fine_grained does the same")
    return plain(shape, (1, 1, *shape[2:]))


@granularity("block", label="Block {rows}×{cols}", presets=({"rows": 4, "cols": 4}, {"rows": 4, "cols": 1}))
def block(
    shape: Shape, *, rows: Annotated[int, Setting(1, 256)] = 4, cols: Annotated[int, Setting(1, 256)] = 4
) -> Layout:
    """Blocks of rows x cols in the matrix (out, in * kernel) (Narang et al. 2017, arXiv:1711.02782)."""
    matrix = (shape[0], prod(shape[1:]))
    if matrix[0] % rows or matrix[1] % cols:
        raise GranularityError(f"blocks of ({rows}, {cols}) do not tile a matrix of {matrix}; {_fitting(matrix)}")
    return Layout(shape, tuple(range(len(shape))), matrix, (rows, cols))


def _fitting(matrix: tuple[int, int]) -> str:
    sizes = [(r, c) for r in (16, 8, 4, 2, 1) for c in (16, 8, 4, 2, 1) if not matrix[0] % r and not matrix[1] % c]
    return f"try {', '.join(str(size) for size in sizes[:3])}"

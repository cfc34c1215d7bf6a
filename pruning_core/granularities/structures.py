"""Structures: whole channels, heads and branches, which can be taken out of the model.

What goes together is found by following the model's values from layer to layer, so these have no layout of one weight.
"""

from pruning_core.granularities.seam import Shape, granularity


@granularity("output_channel", label="Channel", structure="output")
def output_channel(shape: Shape) -> None:
    """Filters or neurons, with all that is coupled to them (Li et al. 2016, arXiv:1608.08710)."""


@granularity("input_channel", label="Input channel", structure="input")
def input_channel(shape: Shape) -> None:
    """Channels that the layer reads, with all that makes them (He et al. 2017, arXiv:1707.06168)."""


@granularity("head", label="Head", structure="head")
def head(shape: Shape) -> None:
    """Attention heads: their queries, keys, values and what reads them (Michel et al. 2019, arXiv:1905.10650)."""


@granularity("layer", label="Layer", structure="branch")
def layer(shape: Shape) -> None:
    """A residual branch, or a layer whose input and output agree, is skipped (Veit et al. 2016, arXiv:1605.06431)."""

"""`Calibration`: the calibration data, and what was observed of the layers on it, each collected once."""

from collections.abc import Mapping
from threading import Lock

from pruning_core import statistics
from pruning_core.criteria import ONE_LAYER_AT_A_TIME
from pruning_core.data import EvalData
from pruning_core.graph import ModelGraph
from pruning_core.statistics import LayerStatistics


class Calibration:
    """What criteria know of a model besides its weights; `data` may be None."""

    def __init__(self, graph: ModelGraph, data: EvalData | None) -> None:
        self.graph, self.data = graph, data
        self._found: dict[tuple[frozenset[str], str | None], dict[str, LayerStatistics]] = {}
        self._collecting = Lock()

    def statistics(self, needs: frozenset[str], layer: str | None = None) -> Mapping[str, LayerStatistics]:
        """Return the statistics `needs` of every layer, collected in one pass over the data.

        What is too large or too slow for all layers at once is collected for `layer` alone.
        """
        only = layer if needs & ONE_LAYER_AT_A_TIME else None
        with self._collecting:
            if (needs, only) not in self._found:
                layers = None if only is None else [only]
                self._found[needs, only] = statistics.collect(self.graph, self.data, needs, layers)
            return self._found[needs, only]

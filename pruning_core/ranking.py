"""Rank once, compare per move: blocks are ranked once per way of scoring; a move only compares ranks with a count."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import RLock

import torch
from torch import Tensor

from pruning_core import masks, statistics
from pruning_core.criteria import CRITERIA, split_settings
from pruning_core.data import EvalData
from pruning_core.errors import CriterionError, GranularityError, PlanError, PruningError
from pruning_core.granularities import GRANULARITIES, Layout
from pruning_core.model import Model
from pruning_core.plan import LayerPlan
from pruning_core.statistics import LayerStatistics

CACHE_BYTES = 1 << 30


class Ranking:
    """Scores and ranks of a model's layers; safe to share between sessions, since nothing in it depends on a plan."""

    def __init__(self, model: Model, calibration: EvalData | None = None) -> None:
        self.model = model
        self.calibration = calibration
        self._cache: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._statistics: dict[frozenset[str], dict[str, LayerStatistics]] = {}
        self._lock = RLock()

    def layout(self, name: str, wish: LayerPlan) -> Layout:
        """Return how the wish cuts layer `name`; a shape that does not fit is refused with the layer's name."""
        layer = self.model.graph.layer(name)
        granularity = GRANULARITIES[wish.granularity]
        settings, _ = split_settings(wish.granularity, wish.criterion, wish.settings)
        try:
            return granularity.layout(layer.weight_shape, **settings)
        except GranularityError as error:
            raise GranularityError(f"{name}: {error}") from None

    def n_keep(self, name: str, wish: LayerPlan) -> int:
        """Return the blocks kept in each arena; a wish that would empty the layer is refused."""
        layout = self.layout(name, wish)
        if layout.steps and not any(abs(wish.sparsity - step) < 1e-6 for step in layout.steps):
            label = GRANULARITIES[wish.granularity].label_of(**wish.settings)
            raise PlanError(
                f"{name}: {label} removes 0 or {layout.steps[1]:g}; sparsity {wish.sparsity:g} is not possible"
            )
        n = layout.blocks_per_arena
        keep = n - masks.n_removed(wish.sparsity, n)
        if keep < 1:
            raise PlanError(f"{name}: sparsity {wish.sparsity:g} would remove all {n} blocks; a lower one keeps some")
        return keep

    def n_kept_weights(self, name: str, wish: LayerPlan) -> int:
        """Return the exact number of weights kept, from the counts alone."""
        layout = self.layout(name, wish)
        return self.n_keep(name, wish) * layout.block_size * layout.n_arenas

    def scores(self, name: str, wish: LayerPlan) -> Tensor:
        """Return the block scores (arenas, blocks) of layer `name`, computed once."""
        return self._cached(("scores", *_way(name, wish)), lambda: self._score(name, wish))

    def ranks(self, name: str, wish: LayerPlan) -> Tensor:
        """Return the block ranks (arenas, blocks) int32 of layer `name`, computed once."""
        return self._cached(("ranks", *_way(name, wish)), lambda: masks.ranks(self.scores(name, wish)))

    def mask(self, name: str, wish: LayerPlan) -> Tensor:
        """Return the mask (out, in, *kernel) of layer `name` alone."""
        keep = self.ranks(name, wish) < self.n_keep(name, wish)
        return masks.expand(keep, self.layout(name, wish))

    def statistics(self, needs: frozenset[str]) -> dict[str, LayerStatistics]:
        """Return the statistics `needs` of every layer, collected in one pass over the calibration data."""
        with self._lock:
            if needs not in self._statistics:
                if needs - {"bn_scale"} and self.calibration is None:
                    wanted = ", ".join(sorted(needs))
                    raise CriterionError(f"{wanted} needs calibration data; l1 and l2 work without data")
                self._statistics[needs] = statistics.collect(self.model.graph, self.calibration, needs)
            return self._statistics[needs]

    def _score(self, name: str, wish: LayerPlan) -> Tensor:
        criterion = CRITERIA[wish.criterion]
        _, settings = split_settings(wish.granularity, wish.criterion, wish.settings)
        layout = self.layout(name, wish)
        try:
            stats = self.statistics(criterion.needs)[name] if criterion.needs else LayerStatistics()
            with torch.no_grad():
                return criterion.block_scores(self.model.graph.weight(name), stats, layout, **settings)
        except CriterionError as error:
            raise CriterionError(f"{name}: {error}") from None

    def _cached(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        with self._lock:
            if key not in self._cache:
                self._cache[key] = compute()
                while len(self._cache) > 1 and sum(t.nbytes for t in self._cache.values()) > CACHE_BYTES:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(key)
            return self._cache[key]


def _way(name: str, wish: LayerPlan) -> tuple[Hashable, ...]:
    return (name, wish.granularity, wish.criterion, tuple(sorted(wish.settings.items())))


def refuses(ranking: Ranking, name: str, wish: LayerPlan) -> str | None:
    """Return why `wish` does not fit layer `name`, or None; for menus that explain instead of failing."""
    try:
        ranking.n_keep(name, wish)
    except PruningError as error:
        return str(error)
    return None

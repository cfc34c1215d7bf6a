"""`Ranking`: from a wish to what is kept, by ranks that are computed once per way of scoring."""

from collections.abc import Hashable, Mapping
from functools import partial

import torch
from torch import Tensor

from pruning_core import masks
from pruning_core.coupling.units import Units
from pruning_core.criteria import CRITERIA, Refit, split_settings
from pruning_core.data import EvalData
from pruning_core.errors import CriterionError, PlanError, PruningError
from pruning_core.granularities import GRANULARITIES, Layout
from pruning_core.model import Model
from pruning_core.plan import LayerPlan
from pruning_core.ranking.cache import Cache
from pruning_core.ranking.calibration import Calibration
from pruning_core.ranking.change import Change
from pruning_core.ranking.scoring import Scoring
from pruning_core.statistics import LayerStatistics


class Ranking:
    """Scores and ranks of a model's layers; safe to share between sessions, since nothing in it depends on a plan."""

    def __init__(self, model: Model, calibration: EvalData | None = None) -> None:
        self.model = model
        self.calibration = calibration
        self._observed = Calibration(model.graph, calibration)
        self._scoring = Scoring(model, self._observed)
        self._cache = Cache()

    def layout(self, name: str, wish: LayerPlan) -> Layout | Units:
        """Return how the wish cuts layer `name`; a shape that does not fit is refused with the layer's name."""
        return self._scoring.layout(name, wish)

    def units(self, name: str, wish: LayerPlan) -> Units | None:
        """Return the coupled units that a structural wish ranks, or None where the weight is cut alone."""
        layout = self.layout(name, wish) if GRANULARITIES[wish.granularity].structure else None
        return layout if isinstance(layout, Units) else None

    def n_keep(self, name: str, wish: LayerPlan) -> int:
        """Return the blocks kept in each arena; a wish that cannot be met or would empty the layer is refused."""
        layout = self.layout(name, wish)
        self._scoring.check(name, wish)
        if layout.steps and not any(abs(wish.sparsity - step) < 1e-6 for step in layout.steps):
            label = GRANULARITIES[wish.granularity].label_of(**wish.settings)
            raise PlanError(
                f"{name}: {label} removes 0 or {layout.steps[1]:g}; sparsity {wish.sparsity:g} is not possible"
            )
        n = layout.blocks_per_arena
        keep = n - masks.n_removed(wish.sparsity, n)
        if keep < 1 and not (layout.steps and 1.0 in layout.steps):
            raise PlanError(f"{name}: sparsity {wish.sparsity:g} would remove all {n} blocks; a lower one keeps some")
        return keep

    def n_kept_weights(self, name: str, wish: LayerPlan) -> int:
        """Return the exact number of weights of layer `name` kept by this wish; from the counts alone if uncoupled."""
        layout = self.layout(name, wish)
        if isinstance(layout, Units):
            found = self.masks(name, wish)
            return int(found[name].sum()) if name in found else self.model.graph.layer(name).n_weights
        return self.n_keep(name, wish) * layout.block_size * layout.n_arenas

    def scores(self, name: str, wish: LayerPlan) -> Tensor:
        """Return the block scores (arenas, blocks) of layer `name`, computed once."""
        return self._cache.get(("scores", *_way(name, wish)), lambda: self._scoring.scores(name, wish))

    def ranks(self, name: str, wish: LayerPlan) -> Tensor:
        """Return the block ranks (arenas, blocks) int32 of layer `name`, computed once."""
        return self._cache.get(("ranks", *_way(name, wish)), lambda: masks.ranks(self.scores(name, wish)))

    def removed_up_to(self, wishes: Mapping[str, LayerPlan]) -> Tensor:
        """Return for each block of several layers how many weights go when it and all weaker ones go; computed once.

        Blocks are ranked together by score per weight, ties from the highest index on; (blocks of all layers,) int64.
        """
        ways = tuple(_way(name, wish) for name, wish in wishes.items())
        return self._cache.get(("together", ways), lambda: self._rank_together(wishes))

    def mask(self, name: str, wish: LayerPlan) -> Tensor:
        """Return the mask (out, in, *kernel) of layer `name` alone."""
        whole = torch.ones(self.model.graph.layer(name).weight_shape, dtype=torch.bool)
        return self.masks(name, wish).get(name, whole)

    def change(self, name: str, wish: LayerPlan) -> Change:
        """Return all that a wish does, with the new values that its criterion gives to what is kept."""
        return self.change_of(name, wish, self._kept(name, wish))

    def change_of(self, name: str, wish: LayerPlan, keep: Tensor) -> Change:
        """Return what it does to keep the blocks `keep` (arenas, blocks) alone."""
        units, found = self.units(name, wish), self.masks_of(name, wish, keep)
        removed = frozenset() if units is None else frozenset(units.groups[~keep[0].numpy()].tolist())
        criterion = CRITERIA[wish.criterion]
        if criterion.update is None or not wish.update_weights or keep.all():
            return Change(found, {}, removed)
        _, settings = split_settings(wish.granularity, wish.criterion, wish.settings)
        rows, columns = (units.rows, units.columns) if units else ({}, {})
        collect = partial(self.statistics, layer=name)
        refit = Refit(self.model.graph, name, found, collect, rows, columns, settings)
        try:
            with torch.no_grad():
                return Change(found, criterion.update(refit), removed)
        except CriterionError as error:
            raise CriterionError(f"{name}: {error}") from None

    def masks(self, name: str, wish: LayerPlan) -> dict[str, Tensor]:
        """Return the masks of all that a wish for layer `name` removes.

        By layer (out, in, *kernel), or by parameter in its stored shape: a channel takes its bias, its norm's scale and
        shift and its readers' columns with it.
        """
        return self.masks_of(name, wish, self._kept(name, wish))

    def masks_of(self, name: str, wish: LayerPlan, keep: Tensor) -> dict[str, Tensor]:
        """Return the masks that keep the blocks `keep` (arenas, blocks)."""
        layout = self.layout(name, wish)
        if not isinstance(layout, Units):
            return {name: masks.expand(keep, layout)}
        removed = layout.groups[~keep[0].numpy()]
        return self.model.rows.masks_without(removed)

    def statistics(self, needs: frozenset[str], layer: str | None = None) -> Mapping[str, LayerStatistics]:
        """Return the statistics `needs` of every layer; what is too large for all at once, of `layer` alone."""
        return self._observed.statistics(needs, layer)

    def _kept(self, name: str, wish: LayerPlan) -> Tensor:
        """Return which blocks stay, (arenas, blocks) bool."""
        return masks.below(self.ranks(name, wish), self.n_keep(name, wish))

    def _rank_together(self, wishes: Mapping[str, LayerPlan]) -> Tensor:
        sizes_of = {name: self.layout(name, wish).block_sizes for name, wish in wishes.items()}
        scores = torch.cat([self.scores(n, w).flatten() / sizes_of[n] for n, w in wishes.items()])
        sizes = torch.cat(list(sizes_of.values()))
        weakest_first = torch.sort(scores, descending=True, stable=True).indices.flip(0)
        removed = torch.empty_like(sizes)
        removed[weakest_first] = sizes[weakest_first].cumsum(0)
        return removed


def _way(name: str, wish: LayerPlan) -> tuple[Hashable, ...]:
    return (name, wish.granularity, wish.criterion, tuple(sorted(wish.settings.items())))


def refuses(ranking: Ranking, name: str, wish: LayerPlan) -> str | None:
    """Return why `wish` does not fit layer `name`, or None; for menus that explain instead of failing."""
    try:
        ranking.n_keep(name, wish)
    except PruningError as error:
        return str(error)
    return None


def why_not(ranking: Ranking, name: str, wish: LayerPlan) -> PruningError | None:
    """Return what keeps layer `name` from being pruned as wished, its scores included, or None."""
    try:
        ranking.n_keep(name, wish)
        ranking.scores(name, wish)
    except PruningError as error:
        return error
    return None

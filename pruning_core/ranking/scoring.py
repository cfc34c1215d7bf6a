"""`Scoring`: scores and ranks of the blocks of a layer, or of the coupled units of its row, computed once."""

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from torch import Tensor

from pruning_core import masks
from pruning_core.coupling import Options
from pruning_core.coupling.units import Units
from pruning_core.criteria import CRITERIA, split_settings, why_not_criterion
from pruning_core.errors import CriterionError, PlanError, UnknownName
from pruning_core.granularities import GRANULARITIES, Allowed, Layout
from pruning_core.model import Model
from pruning_core.plan import LayerPlan
from pruning_core.ranking.cache import Cache
from pruning_core.ranking.calibration import Calibration
from pruning_core.ranking.widths import Widths
from pruning_core.statistics import LayerStatistics


class Scoring:
    """How wishes cut and score the layers of a model, its channels coupled as `options` say."""

    def __init__(self, model: Model, calibration: Calibration, options: Options) -> None:
        self.model, self.calibration, self.options = model, calibration, options
        self._cache = Cache()
        self._widths: dict[Units, Widths] = {}

    def layout(self, name: str, wish: LayerPlan) -> Layout | Units:
        """Return how the wish cuts layer `name`; a shape that does not fit is refused with the layer's name."""
        layer = self.model.graph.layer(name)
        try:
            settings, _ = split_settings(wish.granularity, wish.criterion, wish.settings)
            member = GRANULARITIES[wish.granularity]
            if member.structure is None:
                return member.layout(layer.weight_shape, **settings)
            return self.model.rows_under(self.options).units(name, member.structure)
        except (PlanError, UnknownName) as error:
            raise type(error)(f"{name}: {error}") from None

    def widths(self, units: Units) -> Widths:
        """Return the numbers of channels that a row decides, found once."""
        if units not in self._widths:
            self._widths[units] = Widths.of(units, self.model.graph)
        return self._widths[units]

    def check(self, name: str, wish: LayerPlan) -> None:
        """Refuse a criterion that lacks what it needs or has no meaning here, before anything is computed."""
        data = self.calibration.data
        why = why_not_criterion(
            self.model.graph,
            name,
            wish.criterion,
            self.layout(name, wish),
            has_data=data is not None,
            has_targets=data is not None and data.targets is not None,
            update_weights=wish.update_weights,
        )
        if why:
            raise CriterionError(f"{name}: {wish.criterion} {why}")

    def scores(self, name: str, wish: LayerPlan) -> Tensor:
        """Return the block scores (arenas, blocks) of layer `name`; larger = keep."""
        return self._cache.get(("scores", *_way(name, wish)), lambda: self._score(name, wish))

    def ranks(self, name: str, wish: LayerPlan) -> Tensor:
        """Return the block ranks (arenas, blocks) int32 of layer `name`; 0 is kept longest."""
        return self._cache.get(("ranks", *_way(name, wish)), lambda: masks.ranks(self.scores(name, wish)))

    def removed_up_to(self, wishes: Mapping[str, LayerPlan]) -> Tensor:
        """Return for each block of several layers how many weights go when it and all weaker ones go.

        Blocks are ranked together by score per weight, ties from the highest index on; (blocks of all layers,) int64.
        """
        ways = tuple(_way(name, wish) for name, wish in wishes.items())
        return self._cache.get(("together", ways), lambda: self._rank_together(wishes))

    def _rank_together(self, wishes: Mapping[str, LayerPlan]) -> Tensor:
        layouts = {name: self.layout(name, wish) for name, wish in wishes.items()}
        scores = torch.cat([self.scores(n, w).flatten() / layouts[n].weights_per_score for n, w in wishes.items()])
        sizes = torch.cat([layout.block_sizes for layout in layouts.values()])
        weakest_first = torch.sort(scores, descending=True, stable=True).indices.flip(0)
        removed = torch.empty_like(sizes)
        removed[weakest_first] = sizes[weakest_first].cumsum(0)
        return removed

    def _score(self, name: str, wish: LayerPlan) -> Tensor:
        criterion = CRITERIA[wish.criterion]
        _, settings = split_settings(wish.granularity, wish.criterion, wish.settings)
        try:
            sums = self._sums(name, wish, settings)
            return criterion.finish(sums) if criterion.finish else sums
        except CriterionError as error:
            raise CriterionError(f"{name}: {error}") from None

    def _sums(self, name: str, wish: LayerPlan, settings: dict[str, Any]) -> Tensor:
        layout = self.layout(name, wish)
        if isinstance(layout, Units):
            return layout.pool({member: self._of_weights(member, wish, settings) for member in layout.members})
        scores = self._of_weights(name, wish, settings)
        if layout.choose and layout.allowed:
            scores = layout.choose(scores, self._shapes(wish, layout.weight_shape[2:], layout.allowed))
        return masks.pool(scores, layout)

    def _shapes(self, wish: LayerPlan, kernel: tuple[int, ...], allowed: Allowed) -> Tensor:
        """Return the shapes that may stay of each kernel, found once in all layers with such kernels."""
        graph, (settings, _) = self.model.graph, split_settings(wish.granularity, wish.criterion, wish.settings)
        alike = [layer.name for layer in graph.layers if layer.weight_shape[2:] == kernel]
        key = ("allowed", wish.granularity, kernel, tuple(sorted(settings.items())))
        return self._cache.get(key, lambda: allowed([graph.weight(name) for name in alike]))

    def _of_weights(self, name: str, wish: LayerPlan, settings: dict[str, Any]) -> Tensor:
        """Return the scores of the single weights of layer `name`, (out, in, *kernel)."""
        criterion = CRITERIA[wish.criterion]
        known = self.calibration.statistics(criterion.needs, name)[name] if criterion.needs else None
        with torch.no_grad():
            return criterion.score(self.model.graph.weight(name), known or LayerStatistics(layer=name), **settings)


def _way(name: str, wish: LayerPlan) -> tuple[Hashable, ...]:
    return (name, wish.granularity, wish.criterion, tuple(sorted(wish.settings.items())))

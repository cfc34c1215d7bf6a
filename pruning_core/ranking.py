"""Rank once, compare per move: blocks are ranked once per way of scoring; a move only compares ranks with a count."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import Lock, RLock
from typing import Any

import torch
from torch import Tensor

from pruning_core import masks, statistics
from pruning_core.coupling.units import Units
from pruning_core.criteria import (
    CRITERIA,
    ONE_LAYER_AT_A_TIME,
    STATISTICS,
    WITH_TARGETS,
    WITHOUT_DATA,
    Refit,
    split_settings,
)
from pruning_core.data import EvalData
from pruning_core.errors import CriterionError, PlanError, PruningError, UnknownName
from pruning_core.granularities import GRANULARITIES, Layout
from pruning_core.model import Model
from pruning_core.plan import LayerPlan
from pruning_core.statistics import LayerStatistics

CACHE_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class Change:
    """What a wish does to the model: new `values` take their places, then the masks, both by layer or parameter.

    `removed` are the coupled groups that are masked wholly, and so can be taken out of the model.
    """

    masks: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Tensor] = field(default_factory=dict)
    removed: frozenset[int] = frozenset()


class Ranking:
    """Scores and ranks of a model's layers; safe to share between sessions, since nothing in it depends on a plan."""

    def __init__(self, model: Model, calibration: EvalData | None = None) -> None:
        self.model = model
        self.calibration = calibration
        self._cache: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._statistics: dict[tuple[frozenset[str], str | None], dict[str, LayerStatistics]] = {}
        self._lock = Lock()
        self._busy: dict[Hashable, RLock] = {}  # held by who computes a value, so that others wait for that one alone
        self._collecting = Lock()

    def layout(self, name: str, wish: LayerPlan) -> Layout | Units:
        """Return how the wish cuts layer `name`; a shape that does not fit is refused with the layer's name."""
        layer = self.model.graph.layer(name)
        try:
            settings, _ = split_settings(wish.granularity, wish.criterion, wish.settings)
            member = GRANULARITIES[wish.granularity]
            if member.structure is None:
                return member.layout(layer.weight_shape, **settings)
            return self.model.rows.units(name, member.structure)
        except (PlanError, UnknownName) as error:
            raise type(error)(f"{name}: {error}") from None

    def units(self, name: str, wish: LayerPlan) -> Units | None:
        """Return the coupled units that a structural wish ranks, or None where the weight is cut alone."""
        layout = self.layout(name, wish) if GRANULARITIES[wish.granularity].structure else None
        return layout if isinstance(layout, Units) else None

    def n_keep(self, name: str, wish: LayerPlan) -> int:
        """Return the blocks kept in each arena; a wish that cannot be met or would empty the layer is refused."""
        layout = self.layout(name, wish)
        self._check_criterion(name, wish)
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
        return self._cached(("scores", *_way(name, wish)), lambda: self._score(name, wish))

    def ranks(self, name: str, wish: LayerPlan) -> Tensor:
        """Return the block ranks (arenas, blocks) int32 of layer `name`, computed once."""
        return self._cached(("ranks", *_way(name, wish)), lambda: masks.ranks(self.scores(name, wish)))

    def removed_up_to(self, wishes: Mapping[str, LayerPlan]) -> Tensor:
        """Return for each block of several layers how many weights go when it and all weaker ones go; computed once.

        Blocks are ranked together by score per weight, ties from the highest index on; (blocks of all layers,) int64.
        """
        ways = tuple(_way(name, wish) for name, wish in wishes.items())
        return self._cached(("together", ways), lambda: self._rank_together(wishes))

    def mask(self, name: str, wish: LayerPlan) -> Tensor:
        """Return the mask (out, in, *kernel) of layer `name` alone."""
        whole = torch.ones(self.model.graph.layer(name).weight_shape, dtype=torch.bool)
        return self.masks(name, wish).get(name, whole)

    def change(self, name: str, wish: LayerPlan) -> Change:
        """Return all that a wish does, with the new values that its criterion gives to what is kept."""
        keep = masks.below(self.ranks(name, wish), self.n_keep(name, wish))
        return self.change_of(name, wish, keep)

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
        return self.masks_of(name, wish, masks.below(self.ranks(name, wish), self.n_keep(name, wish)))

    def masks_of(self, name: str, wish: LayerPlan, keep: Tensor) -> dict[str, Tensor]:
        """Return the masks that keep the blocks `keep` (arenas, blocks)."""
        layout = self.layout(name, wish)
        if not isinstance(layout, Units):
            return {name: masks.expand(keep, layout)}
        removed = layout.groups[~keep[0].numpy()]
        return self.model.rows.masks_without(removed)

    def statistics(self, needs: frozenset[str], layer: str | None = None) -> Mapping[str, LayerStatistics]:
        """Return the statistics `needs` of every layer, collected in one pass over the calibration data.

        What is too large or too slow for all layers at once is collected for `layer` alone.
        """
        only = layer if needs & ONE_LAYER_AT_A_TIME else None
        with self._collecting:
            if (needs, only) not in self._statistics:
                layers = None if only is None else [only]
                found = statistics.collect(self.model.graph, self.calibration, needs, layers)
                self._statistics[needs, only] = found
            return self._statistics[needs, only]

    def _check_criterion(self, name: str, wish: LayerPlan) -> None:
        """Refuse a criterion that lacks what it needs or has no meaning here, before anything is computed."""
        needs, data = CRITERIA[wish.criterion].needs, self.calibration
        if "bn_scale" in needs and self.model.graph.layer(name).batch_norm is None:
            raise CriterionError(f"{name}: {wish.criterion} needs {STATISTICS['bn_scale']}; l1 works everywhere")
        if needs - WITHOUT_DATA and data is None:
            raise CriterionError(f"{name}: {wish.criterion} needs calibration data; l1 and l2 work without data")
        if needs & WITH_TARGETS and data is not None and data.targets is None:
            lacking = STATISTICS[min(needs & WITH_TARGETS)]
            raise CriterionError(f"{name}: {wish.criterion} needs {lacking}; data '{data.name}' has none")
        self._check_unit(name, wish)

    def _check_unit(self, name: str, wish: LayerPlan) -> None:
        """Refuse a granularity that cuts finer than what the criterion tells apart: its blocks would score alike."""
        unit, layout = CRITERIA[wish.criterion].unit, self.layout(name, wish)
        if isinstance(layout, Units):
            told_apart = "input" if layout.structure == "input" else "output"  # a branch: all outputs of its layers
        else:
            whole = layout.view == layout.weight_shape and layout.block[0] == 1 and layout.block[1:] == layout.view[1:]
            told_apart = "output" if whole else ""
        if unit not in ("weight", told_apart):
            works = "output_channel or row" if unit == "output" else "input_channel"
            raise CriterionError(
                f"{name}: {wish.criterion} scores whole {unit}s, so {wish.granularity} would choose by position; "
                f"{works} fits it"
            )

    def _score(self, name: str, wish: LayerPlan) -> Tensor:
        criterion = CRITERIA[wish.criterion]
        _, settings = split_settings(wish.granularity, wish.criterion, wish.settings)
        layout = self.layout(name, wish)
        try:
            if isinstance(layout, Units):
                sums = layout.pool({member: self._weight_scores(member, wish, settings) for member in layout.members})
                return criterion.finish(sums) if criterion.finish else sums
            scores = self._weight_scores(name, wish, settings)
            if layout.choose:
                scores = layout.choose(scores, self._weights_like(layout.weight_shape))
            sums = masks.pool(scores, layout)
            return criterion.finish(sums) if criterion.finish else sums
        except CriterionError as error:
            raise CriterionError(f"{name}: {error}") from None

    def _weight_scores(self, name: str, wish: LayerPlan, settings: dict[str, Any]) -> Tensor:
        criterion = CRITERIA[wish.criterion]
        stats = self.statistics(criterion.needs, name)[name] if criterion.needs else LayerStatistics(layer=name)
        with torch.no_grad():
            return criterion.score(self.model.graph.weight(name), stats, **settings)

    def _weights_like(self, shape: tuple[int, ...]) -> list[Tensor]:
        """Return the weights of all layers with the same kernel."""
        graph = self.model.graph
        return [graph.weight(layer.name) for layer in graph.layers if layer.weight_shape[2:] == shape[2:]]

    def _rank_together(self, wishes: Mapping[str, LayerPlan]) -> Tensor:
        sizes_of = {name: self.layout(name, wish).block_sizes for name, wish in wishes.items()}
        scores = torch.cat([self.scores(n, w).flatten() / sizes_of[n] for n, w in wishes.items()])
        sizes = torch.cat(list(sizes_of.values()))
        weakest_first = torch.sort(scores, descending=True, stable=True).indices.flip(0)
        removed = torch.empty_like(sizes)
        removed[weakest_first] = sizes[weakest_first].cumsum(0)
        return removed

    def _cached(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        with self._lock:
            busy = self._busy.setdefault(key, RLock())
        with busy:
            if (found := self._cache.get(key)) is None:
                with torch.inference_mode(False), torch.enable_grad():  # whatever the caller's mode is
                    found = compute()
            with self._lock:
                self._cache[key] = found
                self._cache.move_to_end(key)
                while len(self._cache) > 1 and sum(t.nbytes for t in self._cache.values()) > CACHE_BYTES:
                    self._cache.popitem(last=False)
            return found


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

"""`Ranking`: from a wish to what is kept, by ranks that are computed once per way of scoring."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from pruning_core import masks
from pruning_core.coupling import Coupling, Options
from pruning_core.coupling.rows import Rows
from pruning_core.coupling.units import Units
from pruning_core.criteria import CRITERIA, Refit, split_settings
from pruning_core.data import EvalData
from pruning_core.errors import CannotRemove, CriterionError, PlanError
from pruning_core.granularities import GRANULARITIES, Layout
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan, PlanOptions, options_of
from pruning_core.ranking.change import Change
from pruning_core.ranking.shared import Shared, key_of
from pruning_core.ranking.widths import Widths
from pruning_core.statistics import LayerStatistics

_PLAIN = Plan()


class Ranking:
    """Scores and ranks of a model's layers under the options of a plan; safe to share between sessions."""

    def __init__(
        self,
        model: Model,
        calibration: EvalData | None = None,
        options: PlanOptions = _PLAIN,
        *,
        shared: Shared | None = None,
    ) -> None:
        self.model = model
        self.calibration = calibration
        self.channel_multiple, self.through_norms, self.heads = options_of(options).values()
        self._shared = shared or Shared(model, calibration)
        self._shared.rankings[key_of(options)] = self
        self._scoring = self._shared.scoring(self.options)

    def under(self, options: PlanOptions) -> "Ranking":
        """Return the ranking for the options of a plan, made once; it shares what calibration observed."""
        with self._shared.lock:
            known = self._shared.rankings.get(key_of(options))
            return known or Ranking(self.model, self.calibration, options, shared=self._shared)

    @property
    def options(self) -> Options:
        """What the coupling depends on."""
        return Options(self.through_norms, self.heads)

    @property
    def coupling(self) -> Coupling:
        """Which channels live or die together under these options."""
        return self.model.coupling_under(self.options)

    @property
    def rows(self) -> Rows:
        """The coupled units of every layer under these options."""
        return self.model.rows_under(self.options)

    @property
    def norms(self) -> Coupling | None:
        """The coupling where norms may lose channels, which then take their statistics of what lives; else None."""
        return self.coupling if self.through_norms else None

    def layout(self, name: str, wish: LayerPlan) -> Layout | Units:
        """Return how the wish cuts layer `name`; a shape that does not fit is refused with the layer's name."""
        return self._scoring.layout(name, wish)

    def units(self, name: str, wish: LayerPlan) -> Units | None:
        """Return the coupled units that a structural wish ranks, or None where the weight is cut alone."""
        layout = self.layout(name, wish) if GRANULARITIES[wish.granularity].structure else None
        return layout if isinstance(layout, Units) else None

    def n_keep(self, name: str, wish: LayerPlan) -> int:
        """Return the blocks kept in each arena; a wish that cannot be met or would empty the layer is refused."""
        keep, widths = self._n_wished(name, wish), self.widths(name, wish)
        if widths is None or self.channel_multiple == 1:
            return keep
        if widths.are_alike:  # then it does not matter which
            order = torch.arange(widths.channels.shape[1])
            return int(widths.rounded(order < keep, order, self.channel_multiple).sum())
        return int(self._kept(name, wish).sum())

    def _n_wished(self, name: str, wish: LayerPlan) -> int:
        """Return the same without rounding to a multiple of channels."""
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
        return self._scoring.scores(name, wish)

    def ranks(self, name: str, wish: LayerPlan) -> Tensor:
        """Return the block ranks (arenas, blocks) int32 of layer `name`, computed once."""
        return self._scoring.ranks(name, wish)

    def removed_up_to(self, wishes: Mapping[str, LayerPlan]) -> Tensor:
        """Return for each block of several layers how many weights go when it and all weaker ones go; computed once.

        Blocks are ranked together by score per weight, ties from the highest index on; (blocks of all layers,) int64.
        """
        return self._scoring.removed_up_to(wishes)

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
            return Change(found, self.rows.values_without(removed), removed)
        _, settings = split_settings(wish.granularity, wish.criterion, wish.settings)
        rows, columns = (units.rows, units.columns) if units else ({}, {})
        collect = partial(self.statistics, layer=name)
        refit = Refit(self.model.graph, name, found, collect, rows, columns, settings)
        try:
            with torch.no_grad():
                return Change(found, criterion.update(refit) | self.rows.values_without(removed), removed)
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
        try:
            return self.rows.masks_without(removed)
        except CannotRemove as error:
            raise CannotRemove(f"{name}: {error}") from None

    def statistics(self, needs: frozenset[str], layer: str | None = None) -> Mapping[str, LayerStatistics]:
        """Return the statistics `needs` of every layer; what is too large for all at once, of `layer` alone."""
        return self._shared.observed.statistics(needs, layer)

    def fitted(self, name: str, wish: LayerPlan, keep: Tensor) -> Tensor:
        """Return which blocks stay, (arenas, blocks): those of `keep`; of channels one of each kind, and a multiple."""
        widths = self.widths(name, wish)
        if widths is None:
            return keep
        ranks = self.ranks(name, wish)[0]
        return widths.rounded(widths.spared(keep[0], ranks), ranks, self.channel_multiple)[None]

    def widths(self, name: str, wish: LayerPlan) -> Widths | None:
        """Return the numbers of channels that a wish for channels decides; None for wishes for something else."""
        units = self.units(name, wish)
        return self._scoring.widths(units) if units and units.structure in ("output", "input") else None

    def _kept(self, name: str, wish: LayerPlan) -> Tensor:
        """Return which blocks stay by the wish, (arenas, blocks) bool."""
        return self.fitted(name, wish, masks.below(self.ranks(name, wish), self._n_wished(name, wish)))

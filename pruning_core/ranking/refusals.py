"""Why a wish does not fit a layer, for menus and plans that explain instead of failing."""

from pruning_core import masks
from pruning_core.errors import PruningError
from pruning_core.plan import LayerPlan
from pruning_core.ranking.ranking import Ranking


def refuses(ranking: Ranking, name: str, wish: LayerPlan) -> str | None:
    """Return why `wish` does not fit layer `name`, or None; nothing is scored."""
    try:
        ranking.n_keep(name, wish)
    except PruningError as error:
        return str(error)
    return None


def cannot_go(ranking: Ranking, name: str, wish: LayerPlan) -> str | None:
    """Return why what `wish` chooses in layer `name` cannot go, or None; coupled channels are chosen to find out."""
    if (why := refuses(ranking, name, wish)) is not None or ranking.units(name, wish) is None:
        return why
    try:
        ranking.masks(name, wish)
    except PruningError as error:
        return str(error)
    return None


def kept_whole(ranking: Ranking, name: str, wish: LayerPlan) -> str | None:
    """Return why a wish for some sparsity takes nothing from layer `name`, or None where it takes some."""
    n = ranking.layout(name, wish).blocks_per_arena
    if ranking.n_keep(name, wish) < n:
        return None
    if masks.n_removed(wish.sparsity, n) == 0:
        return f"sparsity {wish.sparsity:g} is less than one of its {n} blocks"
    return f"rounded up to a multiple of {ranking.channel_multiple} channels it keeps all"


def why_not(ranking: Ranking, name: str, wish: LayerPlan) -> PruningError | None:
    """Return what keeps layer `name` from being pruned as wished, its scores included, or None."""
    try:
        ranking.n_keep(name, wish)
        ranking.scores(name, wish)
    except PruningError as error:
        return error
    return None

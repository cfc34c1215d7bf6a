"""Rank once, compare per move: blocks are ranked once per way of scoring; a move only compares ranks with a count."""

from pruning_core.ranking.change import Change
from pruning_core.ranking.ranking import Ranking
from pruning_core.ranking.refusals import cannot_go, kept_whole, refuses, why_not

__all__ = ["Change", "Ranking", "cannot_go", "kept_whole", "refuses", "why_not"]

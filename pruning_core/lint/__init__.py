"""SEAM rules that read a plan before it is carried out: what usually goes wrong, with the numbers and a way out.

A rule is a function `(case) -> findings`. Adding one: write it in a family's file, decorate it with `@lint_rule(name)`;
a new file needs a word below. A finding never changes anything; `changes`, where there are any, are what
`plan.with_layers(changes)` takes.
"""

from importlib import import_module

from pruning_core.lint.seam import RULES, Case, Finding, lint_rule
from pruning_core.model import Model
from pruning_core.plan import Plan
from pruning_core.ranking import Ranking

__all__ = ["FAMILIES", "RULES", "Case", "Finding", "lint", "lint_rule"]

FAMILIES = ("shapes", "places", "shared", "collapse")  # in the order of findings

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")  # registers its members


def lint(model: Model, plan: Plan, ranking: Ranking | None = None) -> tuple[Finding, ...]:
    """Return what to look at in `plan`, rule by rule, each in the model's order; an empty tuple is a clean plan."""
    case = Case(model, plan, (ranking or Ranking(model)).under(plan))
    return tuple(finding for rule in RULES.values() for finding in rule(case))

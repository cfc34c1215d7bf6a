"""`pruning-explorer prune`: a plan, one sparsity, a selection or a budget; then the files with their report."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from explorer.commands import shown
from explorer.commands.asked import Inputs, selection, setting, wish
from explorer.commands.figures import certificate, forms_of, pruned_rows
from pruning_core.allocation import ALLOCATIONS, Allocation, Problem, allocate, parse_budget, within
from pruning_core.apply import check, kept_weights, plan_for
from pruning_core.errors import ExportError, PlanError
from pruning_core.exporters import export
from pruning_core.lint import lint
from pruning_core.measure import measure
from pruning_core.plan import Plan
from pruning_core.ranking import kept_whole
from pruning_core.selection import selected_plan
from pruning_core.slim import prune


@dataclass(frozen=True)
class Asked:
    """What is to be pruned: by exactly one of a plan file, a sparsity, a budget and a selection; the rest is how."""

    plan: Path | None
    sparsity: float | None
    budget: str | None
    granularity: str | None
    criterion: str | None
    settings: list[str] | None
    scope: str | None
    allocation: str | None = None
    channel_multiple: int | None = None
    through_norms: bool = False
    heads: str | None = None
    select: str | None = None

    def problem(self, inputs: Inputs) -> Problem:
        """Return what an allocation is told."""
        how = wish(self.granularity or "fine_grained", self.criterion or "l1", self._split()[0])
        model, plan = inputs.model, plan_for(inputs.model, **self.options)
        return Problem(model, inputs.known_dataset, how, self.scope or "layer", inputs.samples, plan=plan)

    @property
    def options(self) -> dict[str, Any]:
        """Return what was said of the plan's options."""
        given = {"channel_multiple": self.channel_multiple, "through_norms": self.through_norms, "heads": self.heads}
        return {name: value for name, value in given.items() if value}

    def allocation_settings(self) -> dict[str, int | float | str]:
        """Return the settings that the allocation declares; all others are of the granularity and criterion."""
        return dict(setting(text) for text in self._split()[1])

    def _split(self) -> tuple[list[str], list[str]]:
        declared = ALLOCATIONS[self.allocation].settings if self.allocation else {}
        ours = [text for text in self.settings or () if text.partition("=")[0] in declared]
        return [text for text in self.settings or () if text not in ours], ours


def run(inputs: Inputs, asked: Asked, out: Path, force: bool, as_json: bool, latency: bool = False) -> None:
    """Choose the plan, prune, write the files, and print the report."""
    _check_one_way(asked)
    _check_folder(out, force)
    problem = asked.problem(inputs)
    found = _chosen(problem, asked)
    left_dense = found.why_dense | _untouched(problem, found.plan)
    for name, why in left_dense.items():
        shown.note(f"{name} stays dense: {why.removeprefix(f'{name}: ')}")
    for finding in lint(problem.model, found.plan, problem.ranking):
        if finding.layer not in left_dense:
            shown.note(f"{finding.layer}: {finding.sentence}; what helps: {finding.fix}")
    _write(inputs, found.plan, out, left_dense, latency)
    report = json.loads((out / "report.json").read_text("utf-8"))
    if as_json:
        shown.document(report)
    else:
        _show(report, found, out)


def _write(inputs: Inputs, plan: Plan, out: Path, left_dense: dict[str, str], latency: bool) -> None:
    """Measure on the test split, once, and write the files; without data, what can be counted."""
    model, dataset = inputs.model, inputs.known_dataset
    test, calibration = (dataset.test.take(inputs.samples), dataset.calibration) if dataset else (None, None)
    if dataset is None:
        shown.note("without data nothing was run: the report holds no accuracy")
    pruned = prune(model, plan, calibration, data=test)
    report = measure(model, test, plan, latency=latency, pruned=pruned, calibration=calibration)
    export(model, plan, out, test, calibration=calibration, report=report, pruned=pruned, left_dense=left_dense)


def _check_one_way(asked: Asked) -> None:
    ways = {"--plan": asked.plan, "--sparsity": asked.sparsity, "--budget": asked.budget, "--select": asked.select}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        raise PlanError(f"{' and '.join(given)} cannot go together; give one of them")
    how = (asked.granularity, asked.criterion, asked.settings, asked.scope, asked.allocation, asked.options)
    if asked.plan is not None and any(how):
        raise PlanError(
            "a plan file says granularity, criterion, settings, scope and what may go itself; leave those options out"
        )
    if asked.budget is not None and asked.allocation not in (None, "budget"):
        raise PlanError(f"a budget is met by the allocation budget; {asked.allocation} takes --sparsity")
    if asked.allocation not in (None, "uniform") and asked.scope == "model":
        raise PlanError(f"{asked.allocation} chooses a sparsity for each layer; leave --scope model out")
    if asked.budget is not None and asked.scope == "model":
        raise PlanError("a budget chooses a sparsity for each layer; leave --scope model out")
    if asked.select is not None and (asked.scope == "model" or asked.allocation is not None):
        raise PlanError("a selection chooses a sparsity for each layer; leave --allocation and --scope model out")


def _check_folder(out: Path, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise ExportError(f"{out} is a file; --out names a folder")
    if out.is_dir() and any(out.iterdir()) and not force:
        raise ExportError(f"the folder {out} is not empty; --force writes into it all the same")


def _chosen(problem: Problem, asked: Asked) -> Allocation:
    if asked.plan is not None:
        plan = Plan.read(asked.plan)
        check(plan, problem.model, problem.ranking)
        return Allocation(plan, {})
    if asked.select is not None:
        name, value = selection(asked.select)
        return Allocation(*selected_plan(name, problem.ranking, problem.wish, value))
    if asked.budget is not None or asked.allocation is not None:
        return _allocated(problem, asked)
    return allocate("uniform", problem, sparsity=_pattern_share(problem) if asked.sparsity is None else asked.sparsity)


def _allocated(problem: Problem, asked: Asked) -> Allocation:
    """Allocate by a budget, or by the allocation that is named: to an overall sparsity, or by its own settings."""
    settings = asked.allocation_settings()
    limit = None if asked.budget is None else parse_budget(asked.budget)
    if asked.sparsity is not None and settings:
        raise PlanError(f"--sparsity says how much goes; leave --setting {next(iter(settings))} out")
    with shown.progress("Choosing") as update:
        watched = replace(problem, on_progress=lambda progress: update(progress.share, 1.0))
        if limit is not None:
            return within(watched, limit, str(settings.get("least", "size")))
        member = ALLOCATIONS[asked.allocation or ""]
        if asked.sparsity is None and member.by_sparsity is None and not settings:
            raise PlanError(f"say how much {member.name} removes: --sparsity 0.5")
        return member(watched, **settings) if asked.sparsity is None else member.at(watched, asked.sparsity)


def _pattern_share(problem: Problem) -> float:
    """Return what a pattern such as 2:4 removes: it needs no sparsity of its own."""
    if steps := problem.steps:
        return steps[-1]
    ways = "--sparsity 0.5, --select threshold=0.01, --budget 'accuracy_drop<=0.01' or --plan plan.json"
    raise PlanError(f"say how much to remove: {ways}")


def _untouched(problem: Problem, plan: Plan) -> dict[str, str]:
    """Return the layers that lose nothing although the plan asks for it; a plan that removes nothing is refused."""
    kept = kept_weights(problem.model, plan, problem.ranking)
    layers = problem.model.graph.by_name
    whole = [name for name, count in kept.items() if count == layers[name].n_weights]
    if len(whole) == len(kept):
        raise PlanError("the plan removes nothing; raise a sparsity")
    ranking = problem.ranking.under(plan)
    why = {name: kept_whole(ranking, name, plan.layer(name)) for name in whole}
    return {name: reason or "the ranking of all layers together leaves it whole" for name, reason in why.items()}


def _show(report: dict[str, Any], found: Allocation, out: Path) -> None:
    where = f"{report['dense']['n']:,} examples of {report['data']}, split {report['split']}" if report["data"] else ""
    shown.line(f"{report['model']} on {where}; intervals at 95 %" if where else f"{report['model']}, counted only")
    if found.measured_drop is not None:
        chosen = found.measured_drop
        shown.line(
            f"Chosen on {chosen.n:,} validation examples: accuracy drop {chosen.value:.4f} measured together, "
            f"{found.predicted_drop:.4f} as the sum of the layers alone"
        )
    shown.line()
    shown.table(("", *forms_of(report), "Change"), pruned_rows(report))
    shown.line()
    rows = [_layer(row) for row in report["layers"]]
    shown.table(
        ("Layer", "Weights", "Kept", "Sparsity", "Granularity", "Criterion"), rows, ("Granularity", "Criterion")
    )
    shown.line()
    if report["slimmed"] is None:
        shown.line("Masked weights are zeros in place: smaller when compressed, not faster.")
    for sentence in certificate(report):
        shown.line(sentence)
    shown.line(f"Files in {out}:")
    shown.line(f"  {', '.join(report['files'])}")


def _layer(row: dict[str, Any]) -> tuple[str, ...]:
    words = (row["granularity"] or "", row["criterion"] or "") if row["target_sparsity"] else ("dense", "")
    if not row["target_sparsity"] and row["kept"] < row["weights"]:
        words = ("with what it reads or feeds", "")
    return (
        row["name"],
        shown.count(row["weights"]),
        shown.count(row["kept"]),
        shown.percent(row["measured_sparsity"]),
        *words,
    )

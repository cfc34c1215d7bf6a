"""The sweep: each layer alone at each level, by forking the graph. Streams cells that narrow; stops at any time."""

from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from time import perf_counter
from typing import Any

import numpy as np
import torch

from pruning_core.criteria import CRITERIA
from pruning_core.data import EvalData, check_fits
from pruning_core.errors import WorkersError
from pruning_core.model import Model
from pruning_core.plan import options_of
from pruning_core.positions import NO_TARGET, are_scores
from pruning_core.ranking import Ranking
from pruning_core.sensitivity.answers import tally_of
from pruning_core.sensitivity.cells import Sweep
from pruning_core.sensitivity.devices import CPU, device_for, named
from pruning_core.sensitivity.driver import Driver
from pruning_core.sensitivity.effort import Effort
from pruning_core.sensitivity.executors import MakeExecutor, in_process
from pruning_core.sensitivity.recipe import Recipe
from pruning_core.sensitivity.replay import Replay
from pruning_core.sensitivity.request import DEFAULT_LEVELS, Progress, Request
from pruning_core.sensitivity.scope import Scope, scope_of
from pruning_core.sensitivity.store import Record, Store

__all__ = ["DEFAULT_LEVELS", "Progress", "Request", "cells_of", "document_of", "sweep", "tally_of"]

_PLAIN = Request()
ENGINE = 1  # of the way cells are measured: another number makes kept results void


def sweep(
    model: Model,
    data: EvalData,
    request: Request = _PLAIN,
    *,
    ranking: Ranking | None = None,
    replay: Replay | None = None,
    calibration: EvalData | None = None,
    store: Store | None = None,
    executor: MakeExecutor = in_process,
    device: str = CPU,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Sweep:
    """Run the sweep and return it; stopped early by `cancelled`, it holds the cells measured so far.

    With a `store` what was measured before is not measured again, whoever measured it and however that ended. The
    `executor` says who measures; the cells are the same to the last digit. Where those who measure are gone in the
    middle, the sweep ends there, and one of its notices says so. On another `device` than the processor, such as
    `cuda`, all levels of a layer run at once.
    """
    calibration = ranking.calibration if ranking else calibration or data
    recipe = Recipe(model, data.take(request.samples), calibration, request, device_for(device))
    check_fits(recipe.data, model.graph)
    worker, scope = recipe.worker(ranking, replay)
    with store.record(document_of(recipe)) if store else Record() as record, executor(recipe, worker) as runs:
        driver = Driver(scope, worker, runs, record, cancelled)
        started = perf_counter()
        gone = ""
        try:
            _run(driver, request, on_progress, started)
        except WorkersError as error:
            if not any(line.blocks for line in driver.lines.values()):
                raise
            gone = str(error)  # what was measured until then stands
        record.flush()
        notices = (
            *_notices(recipe.data, model.graph.output_shape),
            *filter(None, (worker.notice, record.notice, gone)),
        )
        return _swept(recipe, scope, driver, perf_counter() - started, notices)


def _run(driver: Driver, request: Request, on_progress: Callable[[Progress], None], started: float) -> None:
    forks, lines = driver.worker.forks, driver.lines
    effort = Effort({key: forks.macs(key[0]) for key in driver.keys}, len(driver.data), request.exact)
    for cell in driver.run(request.exact):
        effort.note(cell, driver.passes.recalling)
        done = sum(line.cell.done for line in lines.values())
        on_progress(Progress(cell, effort.share, perf_counter() - started, done, len(lines), effort.recalled))


def _swept(recipe: Recipe, scope: Scope, driver: Driver, seconds: float, notices: tuple[str, ...]) -> Sweep:
    model, data, request = recipe.model, recipe.data, recipe.request
    cells, dense = [line.cell for line in driver.lines.values()], driver.dense
    return Sweep(
        model=model.name,
        data=data.name,
        n_samples=len(data),
        dense_accuracy=dense.correct / dense.n if dense.labelled else None,
        dense_loss=dense.loss / dense.n if dense.labelled else None,
        granularity=request.granularity,
        criterion=request.criterion,
        settings=dict(request.settings),
        exact=all(cell.state == "exact" for cell in cells),
        cells=tuple(cell for cell in cells if cell.strata and cell.state != "failed"),
        seconds=seconds,
        skipped=dict(scope.skipped),
        options={name: value for name, value in options_of(request).items() if value != getattr(Request, name)},
        dense=dense,
        notices=notices,
        failed=tuple(cell for cell in cells if cell.state == "failed"),
        target=request.target,
    )


def _notices(data: EvalData, output_shape: tuple[int, ...]) -> tuple[str, ...]:
    found = []
    if data.is_regression or not are_scores(output_shape):
        found.append(
            "the outputs are numbers, not class scores: agreement is 1 minus the relative error against the dense "
            "outputs, at most 1 for each example, and KL is half the square of that error"
        )
    targets = data.targets if data.has_classes else None
    classes = [] if targets is None else np.unique(targets[targets != NO_TARGET]).tolist()
    if len(data) > 1 and len(classes) == 1:
        found.append(
            f"all {len(data):,} examples are of class {classes[0]}; nothing is known of what other classes lose"
        )
    if len(data) == 1:
        found.append("one example says nothing of others; give more to narrow the intervals")
    return tuple(found)


def document_of(recipe: Recipe) -> dict[str, Any]:
    """Return everything that can change a number of a sweep; results are kept under its hash."""
    model, data, request = recipe.model, recipe.data, recipe.request
    asked = asdict(request)
    for name in ("exact", "levels", "layers", "samples"):  # they say what is measured, not what comes of it
        del asked[name]
    needs_data = bool(CRITERIA[request.criterion].needs)
    calibration = recipe.calibration if needs_data else None
    return {
        "engine": ENGINE,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),  # sums of floats depend on it
        **({} if recipe.device == CPU else {"device": named(recipe.device)}),
        "model": model.sha256,
        "graph": sha256(model.graph.module.code.encode()).hexdigest(),
        "data": data.sha256,
        "calibration": calibration.sha256 if calibration else None,
        "request": asked,
    }


def cells_of(model: Model, request: Request, ranking: Ranking) -> dict[str, tuple[float, ...]]:
    """Return the sparsities that a sweep measures of each layer; one of several coupled layers stands for all."""
    return dict(scope_of(model, request, ranking.under(request)).levels)

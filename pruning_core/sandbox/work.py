"""The side of the process that may be killed: loads a file as the server would, and answers what it found."""

import contextlib
import errno
import io
import json
import os
import traceback
import warnings
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pruning_core import data as examples
from pruning_core.errors import PruningError
from pruning_core.guard.limits import Limits
from pruning_core.loaders import load_data, load_model
from pruning_core.loaders.options import join, split
from pruning_core.model import Model
from pruning_core.refusals import refused
from pruning_core.sandbox.convert import converted
from pruning_core.sandbox.jail import enter

NO_MEMORY = ("can't allocate memory", "bad_alloc", "not enough memory", "Failed to allocate", "Cannot allocate memory")
LONGEST_TRACE = 8000  # characters of a traceback, for the log


def warm() -> None:
    """Import and run once what every file needs, so that forks start with it."""
    import onnx  # noqa: F401
    import onnxruntime
    import PIL.Image
    import torchvision  # noqa: F401

    onnxruntime.set_default_logger_severity(4)
    PIL.Image.preinit()
    torch.set_num_threads(1)
    with contextlib.suppress(ImportError):  # its clock would be a second thread, and a fork has but one
        import_module("tqdm").tqdm.monitor_interval = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Model("warm", nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()), (torch.zeros(1, 1, 2, 2),)).graph.layers  # noqa: B018


def run(request: dict[str, Any], limits: Limits, answer: int) -> None:
    """Write the answer to a request, whatever happens that Python can tell of."""
    walls = enter(limits, request["folder"], request["readable"], [answer])
    os.environ.update(request["environment"])
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = WORK[request["what"]](request, limits)
        told = {"found": found, "walls": asdict(walls)}
    except BaseException as error:
        told = {"refused": _refusal(error, limits)}
    with os.fdopen(answer, "wb") as file:
        file.write(json.dumps(told).encode())


def _weights(request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Return the weights of a state dict as safetensors, and nothing more."""
    name, _ = split(request["spec"])
    return asdict(converted(name, Path(request["folder"]), limits))


def _model(request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Load a model, run it once, and say what it is."""
    spec, notes, file = request["spec"], list[str](), None
    name, options = split(spec)
    if request["kind"] == "state_dict":
        weights = converted(name, Path(request["folder"]), limits)
        spec, file = join(weights.file, options), weights.file
        notes += weights.notes
    model = load_model(spec)
    graph = model.graph
    if not graph.layers:
        raise refused("E246", "the model has no layer whose weights can be pruned")
    _check_answer(model)
    return {
        "file": file,
        "notes": [*notes, *filter(None, [model.note])],
        "layers": len(graph.layers),
        "weights": sum(parameter.numel() for parameter in model.module.parameters()),
        "input_shapes": [list(shape) for shape in graph.input_shapes],
        "output_shape": list(graph.output_shape),
    }


def _check_answer(model: Model) -> None:
    with torch.inference_mode():
        output = model.module(*model.example_inputs)
    for tensor in output if isinstance(output, tuple | list) else [output]:
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise refused("E251", "the model answers NaN or infinite numbers to its example input")


def _data(request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Load data, and see that they fit the model where one is named."""
    model = load_model(request["model"]) if request["model"] else None
    dataset = load_data(request["spec"], model=model)
    for part in {id(part): part for part in dataset.splits.values()}.values():
        if model is not None:
            examples.check_fits(part, model.graph)
        part.prepared(slice(0, 1))
    first = dataset.validation
    return {
        "file": None,
        "notes": [dataset.note] if dataset.note else [],
        "examples": {name: len(part) for name, part in dataset.splits.items()},
        "input_shape": list(first.inputs.shape[1:]),
        "has_targets": first.targets is not None,
    }


WORK = {"model": _model, "data": _data, "weights": _weights}


def _refusal(error: BaseException, limits: Limits) -> dict[str, str]:
    """Return code and sentence for whatever was raised; the traceback is for the log."""
    trace = "".join(traceback.format_exception(error))[-LONGEST_TRACE:]
    found: PruningError
    if _is_of_memory(error):
        found = limits.exceeded("E615", "memory_mb", "reading the file takes more memory than it may")
    elif isinstance(error, PruningError):
        found = error
    elif isinstance(error, OSError) and error.errno == errno.EFBIG:
        found = limits.exceeded("E606", "unpacked_mb", "reading the file writes a file too large")
    elif isinstance(error, RecursionError):
        found = refused("E611", "the file is nested too deep to be read")
    else:
        found = refused("E617", f"the file could not be read: {type(error).__name__}")
    return {"code": found.code, "sentence": str(found), "trace": trace}


def _is_of_memory(error: BaseException | None) -> bool:
    """Return whether memory ran out, in this error or in those that led to it."""
    while error is not None:
        if isinstance(error, MemoryError) or any(text in str(error) for text in NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False

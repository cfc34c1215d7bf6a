"""Where a sweep computes: on the processor, or on an accelerator of this machine."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pruning_core.errors import WorkersError
from pruning_core.sensitivity.steps import Step, Values

CPU = "cpu"


def device_for(name: str) -> str:
    """Return `name` if torch can compute there; one that is not there is refused."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for such a device
        why = str(error).split("\n")[0].split(". ")[0].rstrip(".")
        raise WorkersError(f"device '{name}' cannot be used here ({why}); leave the device out") from None
    if device.type != CPU:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # 10 bits would flip near ties
    return str(device)


def named(device: str) -> str:
    """Return what a device is called, where it says so: kernels, and so the last digits, differ between devices."""
    name = getattr(torch.get_device_module(device), "get_device_name", lambda _: device)
    return str(name(device))


def placed(values: Values, device: str) -> dict[int, Any]:
    """Return values with the tensors among them on `device`; those that are there already as they are."""
    return {i: value.to(device) if isinstance(value, Tensor) else value for i, value in values.items()}


def step_on(step: Step, device: str) -> Step:
    """Return a step that makes its new tensors on `device`: export notes where they were made at tracing."""
    args = tuple(torch.device(device) if isinstance(a, torch.device) else a for a in step.args)
    kwargs = {key: torch.device(device) if isinstance(a, torch.device) else a for key, a in step.kwargs.items()}
    return step if (args, kwargs) == (step.args, step.kwargs) else replace(step, args=args, kwargs=kwargs)

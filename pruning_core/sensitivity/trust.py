"""Trust: before anything is measured by replay, does the model answer alike each time, and the replay as the model?"""

import torch
from torch import Tensor

from pruning_core.data import Inputs
from pruning_core.errors import ModelError
from pruning_core.model import Model
from pruning_core.sensitivity.answers import check_outputs
from pruning_core.sensitivity.replay import Replay

EXAMPLES = 4
CLOSE = 1e-3  # of the largest output; kernels and folding differ by about 1e-6
CLOSE_HALF = 3e-2  # with weights of 16 bits


class CannotReplay(ModelError):
    """The graph does not stand for the module; the module itself can still be measured, slowly."""


def check_replay(model: Model, replay: Replay, inputs: Inputs) -> None:
    """Refuse a model that replay would measure wrongly; `inputs`, each (batch, ...), are prepared examples."""
    inputs, before = tuple(x[:EXAMPLES] for x in inputs), [buffer.clone() for buffer in model.module.buffers()]
    with torch.inference_mode():
        own, again, fewer = (first_tensor(model.module(*some)) for some in (inputs, inputs, [x[:2] for x in inputs]))
        replayed = replay.outputs(replay.start(*inputs)).cpu()
    check_outputs(own)
    for (name, buffer), old in zip(model.module.named_buffers(), before, strict=True):
        if not torch.equal(buffer, old):
            buffer.copy_(old)
            raise CannotReplay(f"'{model.name}' changes its buffer '{name}' while it answers")
    if not _close(own, again):
        raise ModelError(
            f"'{model.name}' answers differently each time, so nothing measured on it can be trusted; "
            "remove what is random in its forward (dropout, sampling)"
        )
    if not _close(own[:2], fewer):
        raise ModelError(
            f"'{model.name}' answers an example differently when others are in the batch; "
            "a batch norm that keeps no running statistics does that"
        )
    if not _close(own, replayed):
        difference = float((own - replayed).abs().max())
        raise CannotReplay(
            f"the traced graph of '{model.name}' differs from the model by {difference:.3g}; its forward may depend on "
            "values or on the batch size that were seen at tracing"
        )


def _close(a: Tensor, b: Tensor) -> bool:
    share = CLOSE if a.element_size() >= 4 else CLOSE_HALF
    return a.shape == b.shape and float((a - b).abs().max()) <= share * max(1e-3, float(a.abs().max()))


def first_tensor(output: object) -> Tensor:
    """Return the first tensor of what a model answered."""
    first = output[0] if isinstance(output, (tuple, list)) else output
    if isinstance(first, Tensor):
        return first
    values = getattr(output, "values", None)  # a dict, as Hugging Face models return
    found = next(iter(values()), None) if callable(values) else None
    if not isinstance(found, Tensor):
        raise ModelError(f"the model returns {type(output).__name__}; a model that returns a tensor works")
    return found

"""`Suffix`: a route cut in two. Its head, the layer whose weight changes, runs in torch; the rest in ONNX Runtime.

ONNX Runtime packs and fuses what is constant, and a weight that changes is not; so the layer that changes stays in
torch, which is as fast there, and one session serves all levels of the layer.
"""

import ctypes
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnxruntime
import torch
from torch import Tensor

from pruning_core.sensitivity.evaluators.batch import Batch
from pruning_core.sensitivity.evaluators.fusion import Fused, Fusion
from pruning_core.sensitivity.evaluators.onnx_builder import Builder, translate
from pruning_core.sensitivity.evaluators.parts import Reads
from pruning_core.sensitivity.evaluators.seam import CannotRun
from pruning_core.sensitivity.replay import Replay
from pruning_core.sensitivity.steps import Values

PART_BYTES = 8 << 20  # of the largest value of a part of a chunk
FEWEST = 4  # examples of a part


@dataclass(frozen=True)
class Part:
    """Some examples of a chunk: values for the head, and arrays for the session by input."""

    values: dict[int, Any]
    arrays: dict[str, Any]


class Suffix:
    """Runs the route of some changed constants."""

    def __init__(self, replay: Replay, batch: Batch, fusion: Fusion | None, changed: frozenset[int]) -> None:
        self.replay, self.reads = replay, Reads.of(replay, batch, changed)
        route, steps, head = replay.route(changed), replay.steps, _head(replay, changed)
        self.head = fusion.of(head) if fusion else [Fused.plain(replay, i) for i in head]
        in_head = {i for call in self.head for i in call.steps}
        self.rest = tuple(i for i in route.steps if i not in in_head and not batch.is_size(i))
        own = {j for i in in_head for j in steps[i].inputs}
        read = {j for i in self.rest for j in steps[i].inputs} - set(self.rest)
        self._own_constants = sorted(j for j in own if j in replay.constants)
        self._fixed = sorted(j for j in read if j in replay.constants and j not in changed)
        self._fed = sorted(read - set(self._fixed))  # by the frontier, the head or the change
        self._turned: dict[int, bool] = {}
        self._session: Any = None
        self.most = max(FEWEST, PART_BYTES // max(1, *(replay.value_bytes[i] for i in route.steps)))
        self.n_bytes = sum(replay.constants[j].nbytes for j in self._fixed)

    def part(self, values: Values) -> Part:
        """Return what the frontier gives of a part; arrays are made once for all levels."""
        arrays = {_name(j): self._array(j, values[j]) for j in self._fed if j in values}
        dense = {j: self.replay.constants[j] for j in self._own_constants}
        return Part({**dense, **values}, arrays)

    def run(self, part: Part, moving: Values, changed: Values) -> Tensor:
        """Return the output (batch, ...) of a part."""
        values = {**part.values, **changed, **moving}
        for call in self.head:
            values[call.result] = call.run(values)
        if not self.rest:
            result: Tensor = values[self.replay.output]
            return result
        own = {_name(j): self._array(j, values[j]) for j in self._fed if _name(j) not in part.arrays}
        feed = {**part.arrays, **own}
        if self._session is None:
            self._session = _session(self._model(feed))
            _give_back()
        return torch.from_numpy(self._session.run(None, feed)[0])

    def _array(self, place: int, value: Any) -> Any:
        """Return a value as an array; one in channels_last is given as it lies, and the session turns it."""
        if isinstance(value, int):
            return torch.tensor([value]).numpy()
        if not isinstance(value, Tensor):
            raise CannotRun("a value that is no tensor crosses into ONNX Runtime")
        if self._turned.setdefault(place, value.dim() == 4 and not value.is_contiguous()):
            value = value.permute(0, 2, 3, 1)
        return value.contiguous().numpy()

    def _model(self, feed: Mapping[str, Any]) -> bytes:
        nodes, constants = self.replay.nodes, self.replay.constants
        builder = Builder({nodes[j]: constants[j] for j in self._fixed})
        for j in self._fed:
            name = builder.add_input(_name(j), feed[_name(j)].dtype, feed[_name(j)].ndim)
            turned = self._turned.get(j, False)
            builder.results[nodes[j]] = builder.op("Transpose", name, perm=[0, 3, 1, 2]) if turned else name
        for i in self.rest:
            translate(builder, nodes[i])
        return builder.model(builder.value(nodes[self.replay.output]))


def _head(replay: Replay, changed: frozenset[int]) -> tuple[int, ...]:
    """Return the steps up to the first layer whose weight changes."""
    steps, weights = replay.route(changed).steps, {j for j in changed if j in replay.constants}
    after_weights = weights | {i for i in steps if not replay.macs[i] and weights.issuperset(replay.steps[i].inputs)}
    own = (n for n, i in enumerate(steps) if replay.macs[i] and after_weights.intersection(replay.steps[i].inputs))
    return steps[: next(own, -1) + 1]


def _name(place: int) -> str:
    return f"value_{place}"


def _session(model: bytes) -> Any:
    """Return a session of one thread that keeps no memory of its own between runs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of many kinds: whatever a step of ONNX Runtime refuses
        raise CannotRun(f"ONNX Runtime refuses the graph: {str(error).splitlines()[0][:200]}") from None


def _give_back() -> None:
    """Give freed memory back to the system, where the C library can; making a session frees much in small pieces."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)

"""`Suffix`: a route cut in two. Its head, up to the first layer, runs in torch; the rest is an ONNX Runtime session.

ONNX Runtime packs and fuses what is constant, and a weight that changes is not; so the layer that changes stays in
torch, which is as fast there, and one session serves all levels of the layer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import onnxruntime
import torch
from torch import Tensor

from pruning_core.layers import NONLINEAR, operator
from pruning_core.sensitivity.evaluators.batch import Batch
from pruning_core.sensitivity.evaluators.onnx_builder import Builder, translate
from pruning_core.sensitivity.evaluators.seam import CannotRun
from pruning_core.sensitivity.replay import Replay
from pruning_core.sensitivity.routes import Route
from pruning_core.sensitivity.steps import Values

PART_BYTES = 6 << 20  # of the largest value of a part of a chunk: it stays in the processor's cache
FEWEST = 4  # examples of a part


@dataclass(frozen=True)
class Part:
    """Some examples of a chunk: values for the head, and arrays for the session by input."""

    values: dict[int, Any]
    arrays: dict[str, Any]


class Suffix:
    """Runs the route of some changed constants."""

    def __init__(self, replay: Replay, batch: Batch, route: Route, changed: Iterable[int]) -> None:
        self.replay, self.batch, self.changed = replay, batch, frozenset(changed)
        self.head = _head(replay, route)
        self.rest = tuple(i for i in route.steps if i not in self.head and not batch.is_size(i))
        steps = replay.steps
        own = {j for i in self.head for j in steps[i].inputs if j not in self.head}
        read = {j for i in self.rest for j in steps[i].inputs if j not in self.rest}
        self.sizes = {j for j in own | read if batch.is_size(j) and j not in replay.constants}
        self._given = {j for j in own | read if j not in replay.constants and j not in self.head} - self.sizes
        self._own_constants = {j for j in own if j in replay.constants}
        self._read = read
        self._turned: dict[int, bool] = {}
        self._session: Any = None
        largest = max((replay.value_bytes[i] for i in route.steps), default=1)
        self.most = max(FEWEST, PART_BYTES // max(1, largest))
        self.n_bytes = sum(replay.constants[j].nbytes for j in self._fixed)

    @property
    def _fixed(self) -> list[int]:
        """Constants that stand in the session."""
        return sorted(j for j in self._read if j in self.replay.constants and j not in self.changed)

    def parts(self, values: Values) -> list[Part]:
        """Return what the frontier's `values` give, cut into parts."""
        found = []
        for part in self.batch.split({j: values[j] for j in self._given}, self.most):
            n = self.batch.examples(part)
            if n is None and self.sizes:
                raise CannotRun("no value says how many examples there are")
            sizes = {j: self.batch.size(j, n or 0) for j in self.sizes}
            arrays = {_name(j): self._array(j, part[j]) for j in sorted(self._given & self._read)}
            arrays |= {_name(j): torch.tensor([sizes[j]]).numpy() for j in sorted(self.sizes & self._read)}
            found.append(Part(part | sizes, arrays))
        return found

    def run(self, part: Part, changed: Values) -> Tensor:
        """Return the output (batch, ...) of one part."""
        constants = self.replay.constants
        values = {**part.values, **{j: changed.get(j, constants[j]) for j in self._own_constants}}
        for i in self.head:
            values[i] = self.replay.steps[i].run(values)
        if not self.rest:
            result: Tensor = values[self.replay.output]
            return result
        arrays = {_name(j): self._array(j, values[j]) for j in self.head if j in self._read}
        arrays |= {_name(j): self._array(j, changed[j]) for j in self.changed & self._read}
        feed = {**part.arrays, **arrays}
        if self._session is None:
            self._session = _session(self._model(feed))
        return torch.from_numpy(self._session.run(None, feed)[0])

    def _array(self, place: int, value: Any) -> Any:
        """Return a value as an array; one in channels_last is given as it lies, and the session turns it."""
        if not isinstance(value, Tensor):
            raise CannotRun("a value that is no tensor crosses into ONNX Runtime")
        lies_turned = value.dim() == 4 and not value.is_contiguous()
        if self._turned.setdefault(place, lies_turned):
            value = value.permute(0, 2, 3, 1)
        return value.contiguous().numpy()

    def _model(self, feed: Mapping[str, Any]) -> bytes:
        nodes, constants = self.replay.nodes, self.replay.constants
        builder = Builder({nodes[j]: constants[j] for j in self._fixed})
        for j in sorted(self._read - set(self._fixed)):
            name = builder.add_input(_name(j), feed[_name(j)].dtype, feed[_name(j)].ndim)
            turned = self._turned.get(j, False)
            builder.results[nodes[j]] = builder.op("Transpose", name, perm=[0, 3, 1, 2]) if turned else name
        for i in self.rest:
            translate(builder, nodes[i])
        return builder.model(builder.value(nodes[self.replay.output]))


def _head(replay: Replay, route: Route) -> tuple[int, ...]:
    """Return the steps up to the first one with multiply-accumulates, and the activation after it."""
    first = next((n for n, i in enumerate(route.steps) if replay.macs[i]), len(route.steps) - 1)
    head = route.steps[: first + 1]
    after = route.steps[first + 1 : first + 2]
    if after and operator(replay.nodes[after[0]]).split(".")[1:2] and head[-1:] == replay.steps[after[0]].inputs:
        head += after if operator(replay.nodes[after[0]]).split(".")[1] in NONLINEAR else ()
    return head


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

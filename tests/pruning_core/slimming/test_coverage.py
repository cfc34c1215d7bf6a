"""Models of three libraries, none of which the package knows: masked = slimmed = ONNX Runtime, and source that loads.

The small ones run always (but for `SLOW`), all others are slow; `python -m tests.benchmarks.coverage` writes a table.
"""

import numpy as np
import pytest
import torch

from pruning_core.apply import masked_copy
from pruning_core.coupling import Coupling, Options, couple
from pruning_core.model import Model
from pruning_core.onnx_export import largest_difference, to_onnx
from pruning_core.slimming import Counts, counts_of, living_graph, python_source, slim
from pruning_core.slimming.compare import difference, tensors
from pruning_core.slimming.skip import skipping
from tests.removals import masked_module, weakest
from tests.zoo import SMALL, ZOO, Entry

NO_OWN_MODULE = {
    "shufflenet_v2",
    "shufflenet_v2_x0_5",
    "vit_b_32",
    "swin_t",
    "swin_v2_t",
    "maxvit_t",
}  # sizes in their code
UNKNOWN = {"transformers:bert": {"aten.gather: no rule for this operator"}}
SLOW = {"transformers:vit"}  # as timm's
FAST = [pytest.param(*item, id=item[0], marks=[pytest.mark.slow] if item[0] in SLOW else []) for item in SMALL.items()]
BEYOND_ROUNDING = 1e-2  # of the output's standard deviation: what a removal must move, or the proof is empty


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("name", "entry"), FAST)
def test_small(name: str, entry: Entry) -> None:
    model = Model(name, entry.module(), entry.inputs())
    through_norms = couple(model.graph, Options(through_norms=True))
    prove(model, entry, couple(model.graph), 0.5, with_onnx=not through_norms.statistics)
    if through_norms.statistics:
        prove(model, entry, through_norms, 0.5)
    prove_skipping(model, entry)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("name", "entry"), ZOO.items(), ids=list(ZOO))
def test_all(name: str, entry: Entry) -> None:
    model = Model(name, entry.module(), entry.inputs())
    prove(model, entry, couple(model.graph), 0.3)


def prove(model: Model, entry: Entry, coupling: Coupling, share: float, with_onnx: bool = True) -> None:
    """Remove the weakest share of each family, and hold all results against each other."""
    assert set(coupling.unknown) <= UNKNOWN.get(model.name, set())
    removed, batches = weakest(coupling, share), [entry.inputs(3, seed=1), entry.inputs(1, seed=2)]
    norms = coupling.options.through_norms
    masked = living_graph(coupling, removed) if norms else masked_module(model.module, coupling, removed)
    found = slim(model, coupling, removed, masked, batches)
    with torch.inference_mode():
        deviation = float(next(tensors(masked(*batches[0]))).std())
    assert found.difference <= 1e-4 * deviation
    assert difference(masked, model.module, batches)[0] > BEYOND_ROUNDING * deviation
    assert found.params < model.graph.params
    assert found.macs < model.graph.macs
    assert counts_of(coupling, removed) == Counts(found.params, found.macs, found.size_bytes)
    if not norms:
        assert found.kind == ("graph" if model.name in NO_OWN_MODULE else "own")
    _same_from_source(found.graph, batches)
    if with_onnx:
        exported = to_onnx(found.module, model.example_inputs)
        assert largest_difference(exported, found.module, iter(batches)) <= 1e-4 * deviation


def prove_skipping(model: Model, entry: Entry) -> None:
    """Skip all that may be skipped, and hold the results against each other."""
    masks: dict[str, torch.Tensor] = {}
    values: dict[str, torch.Tensor] = {}
    for found in model.rows.skippable:
        masks, values = masks | found.change()[0], values | found.change()[1]
    masked, batches = masked_copy(model, masks, values), [entry.inputs(3, seed=1), entry.inputs(1, seed=2)]
    nothing, skipped = np.zeros(0, np.int64), model.rows.skippable
    smaller = slim(model, model.coupling, nothing, masked, batches, skipped)
    assert smaller.difference <= 1e-6 * smaller.scale
    assert difference(masked, model.module, batches)[0] > 1e-4 * smaller.scale
    assert counts_of(skipping(model.coupling, skipped, nothing), nothing).params == smaller.params < model.graph.params
    _same_from_source(smaller.graph, batches)


def _same_from_source(graph: torch.fx.GraphModule, batches: list[tuple[torch.Tensor, ...]]) -> None:
    names: dict[str, type[torch.nn.Module]] = {}
    exec(compile(python_source(graph, "Small"), "small.py", "exec"), names)
    module = names["Small"]().eval()
    module.load_state_dict(graph.state_dict())
    for batch in batches:
        with torch.inference_mode():
            assert torch.equal(module(*batch), graph(*batch))

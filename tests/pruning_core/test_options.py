"""Plans whose norms lose channels, or whose heads lose dimensions: every form of the model answers alike."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

import pruning_core as pc
from pruning_core import masks
from pruning_core.apply import changes_for, masked_form
from pruning_core.coupling import Options, couple
from pruning_core.coupling.rows import Rows
from pruning_core.exporters import onnx_bytes
from pruning_core.graph import ModelGraph, trace
from pruning_core.onnx_export import largest_difference
from pruning_core.ranking import Change, Ranking
from pruning_core.sensitivity import Replay, Request, sweep
from pruning_core.slim import Pruned, prune
from pruning_core.slimming import LivingModule, living_graph
from pruning_core.slimming.compare import difference
from pruning_core.workbench import Reference, Workbench
from tests.pruning_core.coupling.nets import NETS
from tests.pruning_core.slimming.test_living import NORMS, net_with
from tests.removals import random_groups
from tests.zoo import shaken

CLOSE = 1e-4  # of the largest output
THROUGH = Options(through_norms=True)
WAYS = {
    "norms": {"through_norms": True},
    "dimensions": {"heads": "dimension"},
    "both": {"through_norms": True, "heads": "dimension"},
}


@cache
def reference() -> Reference:
    data = pc.load_data("fashion_mnist")
    few = {"calibration": data.calibration.take(64), "validation": data.validation.take(120)}
    return Reference(pc.load_model("vit_fashion"), pc.Dataset(data.name, data.title, few))


@cache
def plan_of(way: str, granularity: str = "output_channel") -> pc.Plan:
    model, ranking = reference().model, reference().ranking.under(pc.Plan(**WAYS.get(way, {})))  # type: ignore[arg-type]
    return pc.uniform_plan(model, pc.LayerPlan(sparsity=0.25, granularity=granularity), ranking=ranking)[0]


@cache
def pruned(way: str) -> Pruned:
    assert reference().dataset is not None
    return prune(reference().model, plan_of(way), ranking=reference().ranking, data=reference().dataset.validation)


def examples() -> Tensor:
    assert reference().dataset is not None
    return reference().dataset.validation.batch(slice(40))


def close(found: Tensor, expected: Tensor, share: float = CLOSE) -> bool:
    return float((found - expected).abs().max()) <= share * float(expected.abs().max())


def test_the_options_reach_what_no_plan_without_them_does() -> None:
    layers = {way: plan_of(way).layers.keys() for way in ("", *WAYS)}
    assert layers[""] == {f"layers.{i}.fc1" for i in range(4)}
    assert layers["norms"] - layers[""] == {"patches"} | {
        f"layers.{i}.{name}" for i in range(4) for name in ("attention.proj", "fc2")
    }
    assert layers["dimensions"] - layers[""] == {f"layers.{i}.attention.qkv" for i in range(4)}
    assert layers["both"] == layers["norms"] | layers["dimensions"]
    assert plan_of("both").through_norms
    assert plan_of("both").heads == "dimension"


@pytest.mark.parametrize("way", WAYS)
@torch.no_grad()
def test_workbench_masked_slimmed_and_onnx_answer_alike(way: str) -> None:
    model, found, x = reference().model, pruned(way), examples()
    assert found.slimmed is not None
    bench = Workbench(model, plan=plan_of(way), reference=reference())
    bench.refine(0.0)
    edited = bench._edited
    assert edited is not None
    replayed = edited.replay.outputs(edited.replay.start(x), {**edited.replay.constants, **edited.constants})
    masked = found.masked(x)
    assert close(replayed, masked)
    assert close(found.slimmed.module(x), masked)
    assert close(pc.apply(plan_of(way), model)(x), masked, 0)
    if way == "both":  # a conversion takes seconds
        largest_difference(onnx_bytes(model, found), found.slimmed.module, iter([(x,), (x[:1],)]))
    assert not close(masked, model.module(x), 0.05), "the plan changes nothing: no test"


@pytest.mark.parametrize("way", WAYS)
def test_the_exact_figures_are_those_of_the_slimmed_model(way: str) -> None:
    found, exact = pruned(way), Workbench(reference().model, reference=reference()).exact(plan_of(way))
    assert found.slimmed is not None
    assert (exact.slimmed_params, exact.slimmed_macs) == (found.slimmed.params, found.slimmed.macs)
    assert found.slimmed.params < pruned("").slimmed.params - 10_000  # type: ignore[union-attr]
    assert isinstance(found.masked, LivingModule) == ("norms" in way or way == "both")


def test_zeros_alone_are_not_what_norms_see_of_a_thinner_stream() -> None:
    change = changes_for(reference().model, plan_of("norms"), ranking=reference().ranking)
    zeros, x = pc.masked_copy(reference().model, change.masks), examples()
    with torch.no_grad():
        assert not close(zeros(x), pruned("norms").masked(x), 0.05)


@torch.no_grad()
def test_a_sweep_measures_what_the_masked_form_answers() -> None:
    data = reference().dataset
    request = Request("output_channel", levels=(0.25,), layers=("patches",), through_norms=True)
    assert data is not None
    found = sweep(reference().model, data.validation, request, ranking=reference().ranking, replay=reference().replay)
    plan = pc.plan_for(reference().model, through_norms=True).with_layer("patches", **request.wish(0.25).model_dump())
    answers = pc.apply(plan, reference().model)(data.validation.batch(slice(None))).argmax(1)
    assert found.cells[0].tally.correct == int((answers == data.validation.labels()).sum())
    assert found.cells[0].tally.lost > 0


def test_edits_between_options_end_at_the_figures_of_each() -> None:
    bench = Workbench(reference().model, reference=reference())
    fresh = {}
    for way in ("norms", "", "dimensions"):
        fresh[way] = Workbench(reference().model, plan=plan_of(way), reference=reference()).refine(60.0)
    for way in ("norms", "", "dimensions", "norms", "dimensions", ""):
        bench.set_plan(plan_of(way))
        assert bench.refine(0.0).n == 100
        assert bench.refine(60.0) == fresh[way]
        assert bench.ranking.options == Options(plan_of(way).through_norms, plan_of(way).heads)
    assert len({estimate.drop for estimate in fresh.values()}) == 3


def test_exports_under_through_norms_build_the_same_models_again(tmp_path: Path) -> None:
    model, x = reference().model, examples()
    names = ["safetensors", "load_script", "slimmed_weights", "slimmed_script", "plan"]
    pc.export(model, plan_of("both"), tmp_path, formats=names, pruned=pruned("both"))
    with torch.no_grad():
        expected = pruned("both").masked(x)
        for script in ("load_pruned", "load_slimmed"):
            spec = importlib.util.spec_from_file_location(script, tmp_path / f"{script}.py")
            assert spec is not None
            assert spec.loader is not None
            loader = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loader)
            assert close(loader.load()(x), expected)
    assert pc.Plan.read(tmp_path / "plan.json") == plan_of("both")


def test_queries_and_values_keep_one_dimension_each() -> None:
    name, wish = "layers.0.attention.qkv", pc.LayerPlan(sparsity=0.9, granularity="output_channel")
    dimensions = reference().ranking.under(pc.Plan(heads="dimension"))
    units = dimensions.units(name, wish)
    assert units is not None
    is_value = torch.isin(torch.arange(32), units.columns["layers.0.attention.proj"])
    best = masks.below(dimensions.ranks(name, wish), 3)[0]
    assert is_value[best].all() or not is_value[best].any(), "the best three are of both kinds: no test"
    found = dimensions.change(name, wish)
    kept = torch.tensor([group not in found.removed for group in units.groups.tolist()])
    assert int(kept.sum()) == 3
    assert is_value[kept].any()
    assert not is_value[kept].all()
    assert int((kept & best).sum()) == 2


def test_heads_and_dimensions_are_two_ways_to_cut_one_layer() -> None:
    ranking, head = reference().ranking, pc.LayerPlan(sparsity=0.5, granularity="head")
    wish = pc.LayerPlan(sparsity=0.25, granularity="output_channel")
    name = "layers.0.attention.qkv"
    assert len(ranking.units(name, head).groups) == 4  # type: ignore[union-attr]
    with pytest.raises(pc.PruningError, match="its outputs live in whole attention heads; head fits"):
        ranking.n_keep(name, wish)
    dimensions = ranking.under(pc.Plan(heads="dimension"))
    units = dimensions.units(name, wish)
    assert units is not None
    n_heads, size = 4, 16
    assert len(units.groups) == 2 * size  # of queries and keys together, and of values
    of_row = units.rows[name].reshape(3, n_heads, size)
    assert (of_row == of_row[:, :1]).all()
    assert torch.equal(of_row[0], of_row[1])
    assert set(of_row[2].flatten().tolist()).isdisjoint(of_row[0].flatten().tolist())
    with pytest.raises(pc.PruningError, match="are no attention heads"):
        dimensions.n_keep(name, head)


# ----------------------------------------------------------------------------------------------- norms in the replay
def thinned(graph: ModelGraph, removed: np.ndarray | None = None) -> tuple[Replay, dict[int, object], fx.GraphModule]:
    """Return the replay of a graph, the constants without some groups, and the living graph without them."""
    coupling = couple(graph, THROUGH)
    removed = random_groups(coupling, 0.4, seed=3) if removed is None else removed
    assert len(removed)
    change = Change(Rows(graph, coupling).masks_without(removed), {}, frozenset(removed.tolist()))
    replay = Replay(graph, coupling)
    return replay, replay.changed(change), living_graph(coupling, removed)


def assert_replayed(net: nn.Module, *inputs: Tensor) -> None:
    graph = trace(shaken(net), inputs)
    replay, changed, living = thinned(graph)
    batch = tuple(torch.randn(3, *x.shape[1:], generator=torch.Generator().manual_seed(5)) for x in inputs)
    with torch.no_grad():
        dense, scale, _ = difference(net, living, [batch])
        assert dense > 1e-3 * scale, "the removal changes nothing: no test"
        for whole in (
            replay.fork_changed(replay.start(*batch), changed),
            replay.outputs(replay.start(*batch), {**replay.constants, **changed}),
        ):
            assert close(whole, living(*batch), 1e-5)
        assert torch.equal(replay.outputs(replay.start(*batch)), Replay(graph).outputs(Replay(graph).start(*batch)))


@pytest.mark.parametrize("name", NORMS)
def test_replayed_norms_see_what_lives(name: str) -> None:
    assert_replayed(net_with(NORMS[name]), torch.randn(2, 7, 5))


@pytest.mark.parametrize(("groups", "affine"), [(3, True), (3, False), (1, True), (6, True)])
def test_replayed_group_norms_see_what_lives(groups: int, affine: bool) -> None:
    norm = nn.GroupNorm(groups, 12, affine=affine)  # of 6 groups whole ones go, of 3 the same positions in each
    assert_replayed(nn.Sequential(nn.Conv2d(3, 12, 3), norm, nn.ReLU(), nn.Conv2d(12, 4, 1)), torch.randn(2, 3, 8, 8))


def test_a_replayed_decoder_sees_what_lives() -> None:
    net, shapes = NETS["decoder"]
    assert_replayed(net, *(torch.randn(2, *shape) for shape in shapes))


def test_a_norm_of_images_and_of_the_class_token_alone() -> None:
    class ClassToken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.fc = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 3)
            self.first, self.last = nn.LayerNorm(8), nn.LayerNorm(8)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            x = x + self.b(self.first(x))
            logits: Tensor = self.fc(self.last(x)[:, 0])
            return logits

    assert_replayed(ClassToken(), torch.randn(2, 7, 5))


def test_a_packed_parameter_keeps_its_name_where_norms_see_what_lives() -> None:
    net = shaken(nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0, batch_first=True))

    class OneInput(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.layer, self.fc = nn.Linear(5, 16), net, nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            logits: Tensor = self.fc(self.layer(x, x)[:, 0])
            return logits

    model = pc.Model("decoder", shaken(OneInput()), (torch.randn(2, 6, 5),))
    ranking = Ranking(model).under(pc.Plan(through_norms=True))
    coupling = ranking.coupling
    removed = random_groups(coupling, 0.3, seed=1)
    change = Change(ranking.rows.masks_without(removed), {}, frozenset(removed.tolist()))
    masked = masked_form(model, change, coupling)
    assert isinstance(masked, LivingModule)
    own = pc.masked_copy(model, change.masks).state_dict()
    assert coupling.parts
    assert own.keys() <= masked.state_dict().keys()
    assert all(torch.equal(masked.state_dict()[name], tensor) for name, tensor in own.items())
    with torch.no_grad():
        assert close(masked(*model.example_inputs), living_graph(coupling, removed)(*model.example_inputs), 1e-6)

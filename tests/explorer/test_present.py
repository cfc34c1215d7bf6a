"""What the components are told: rows, menus, notices and limits, from a real model and cells made by hand."""

import pytest

import pruning_core as pc
from explorer import resources, work
from explorer.present import notes, options, panel, rows, sweeps
from explorer.state import ExplorerState
from pruning_core import Request
from pruning_core.plan import LayerPlan, Plan
from pruning_core.sensitivity.cells import Cell, Sweep
from pruning_core.sensitivity.tally import Tally

LENET = "lenet_300_100"
FINE = Request()


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_curves", {})


@pytest.fixture(scope="module")
def bench() -> pc.Workbench:
    reference = resources.reference(LENET, "mnist")
    return pc.Workbench(reference.model, reference=reference)


def cell(layer: str, sparsity: float, lost: int, n: int = 2000) -> Cell:
    """A cell that loses `lost` of 1,000 examples."""
    tally = Tally(n=n, correct=n - lost * n // 1000, lost=lost * n // 1000, labelled=True)
    return Cell(layer, sparsity, sparsity, (tally,))


def known(*cells: Cell, request: Request = FINE) -> Sweep:
    about = Sweep(LENET, "mnist", 2000, None, None, request.granularity, request.criterion, {}, False, (), 0, {})
    work._keep(work.curve_key(LENET, "mnist", request), about, cells)
    found = work.curves(LENET, "mnist", request)
    assert found is not None
    return found


def state_with(**layers: LayerPlan) -> ExplorerState:
    return ExplorerState(model=LENET, data="mnist", plan=Plan(layers=layers))


@pytest.mark.parametrize(
    ("granularity", "settings", "value"),
    [("fine_grained", {}, "fine_grained"), ("n_m", {"n": 2, "m": 4}, "n_m?m=4&n=2"), ("x", {"way": "in"}, "x?way=in")],
)
def test_a_menu_value_names_a_granularity_with_its_settings(granularity: str, settings: dict, value: str) -> None:
    assert options.option_value(granularity, settings) == value
    assert options.from_option(value) == (granularity, settings)


def test_a_layer_is_described_by_kind_and_shape() -> None:
    graphs = [resources.model(name).graph for name in (LENET, "mobilenet_fashion")]
    assert [rows.kind(layer) for layer in graphs[0].layers] == [
        "linear · 784 → 300",
        "linear · 300 → 100",
        "linear · 100 → 10",
    ]
    kinds = {rows.kind(layer).split(" ")[0] for layer in graphs[1].layers}
    assert kinds == {"conv", "depthwise", "linear"}


def test_a_row_without_cells_is_not_measured_and_a_dense_one_is_dense(bench: pc.Workbench) -> None:
    first, second, _ = rows.mixer_rows(bench, state_with(fc1=LayerPlan(sparsity=0.5), fc2=LayerPlan(sparsity=0.0)))
    assert (first["curve"], first["drop"]["state"], first["drop"]["text"]) == (None, "none", "not measured")
    assert second["drop"]["state"] == "dense"


def test_a_drop_between_two_cells_is_an_estimate_and_at_a_cell_it_is_known(bench: pc.Workbench) -> None:
    known(cell("fc1", 0.4, 10), cell("fc1", 0.6, 30))
    for sparsity, state, value in ((0.5, "est", -2.0), (0.6, "known", -3.0), (0.2, "est", -0.5)):
        others = LayerPlan(sparsity=0.1)
        row = rows.mixer_rows(bench, state_with(fc1=LayerPlan(sparsity=sparsity), fc2=others))[0]
        assert (row["drop"]["state"], row["drop"]["value"]) == (state, pytest.approx(value))
    assert row["curve"]["levels"] == [0.0, 0.4, 0.6]


def test_a_granularity_that_does_not_fit_says_why_in_its_menu(bench: pc.Workbench) -> None:
    row = rows.mixer_rows(bench, state_with())[0]
    menu = {option["label"]: option.get("disabled") for option in row["granularities"]}
    assert menu["2:4"] is None
    assert "no kernels" in menu["Kernel"]
    assert {option["value"]: option.get("disabled") for option in row["criteria"]}[
        "bn_scale"
    ] == "needs a batch norm after the layer"


def test_the_notice_names_the_worst_layer_and_a_sparsity_that_mends_it(bench: pc.Workbench) -> None:
    known(cell("fc1", 0.4, 0), cell("fc1", 0.8, 40), cell("fc2", 0.4, 0), cell("fc2", 0.8, 20))
    state = state_with(fc1=LayerPlan(sparsity=0.8), fc2=LayerPlan(sparsity=0.8))
    note = notes.note(bench, state, rows.mixer_rows(bench, state))
    assert note is not None
    assert "".join(part["text"] for part in note["text_parts"]) == (
        "3.0 pt above tolerance. fc1 alone costs 4.0 pt; it stays within tolerance up to 50 %."
    )
    assert note["actions"][1]["command"] == {"kind": "edit", "changes": {"fc1": {"sparsity": 0.5}}}
    mild = state_with(fc1=LayerPlan(sparsity=0.4))
    assert notes.note(bench, mild, rows.mixer_rows(bench, mild)) is None


def test_limits_are_whole_percents_on_the_line_through_the_cells(bench: pc.Workbench) -> None:
    found = known(cell("fc1", 0.4, 0), cell("fc1", 0.7, 15), cell("fc2", 0.4, 2), cell("fc3", 0.4, 400))
    limits = sweeps.limits(bench, found, Request(), 1.0)
    assert limits == {"fc1": 0.6, "fc2": 0.4, "fc3": 0.01}


def test_the_limit_of_a_pattern_is_all_or_nothing(bench: pc.Workbench) -> None:
    request = Request(granularity="n_m", settings={"n": 2, "m": 4})
    found = known(cell("fc1", 0.5, 5), cell("fc2", 0.5, 50), request=request)
    assert sweeps.limits(bench, found, request, 1.0) == {"fc1": 0.5, "fc2": 0.0}
    assert sweeps.levels(found, bench, request, live=True) == [0.5]


def test_the_columns_of_a_running_sweep_are_those_that_come(bench: pc.Workbench) -> None:
    request = Request(levels=(0.3, 0.6))
    found = known(cell("fc1", 0.5, 5))
    assert sweeps.levels(found, bench, request, live=False) == [0.5]
    assert sweeps.levels(found, bench, request, live=True) == [0.3, 0.5, 0.6]


def test_the_first_curves_are_those_of_the_layers_that_lose_most() -> None:
    found = known(cell("fc1", 0.5, 10), cell("fc2", 0.5, 90), cell("fc3", 0.5, 40))
    assert sweeps.default_layers(found, 2) == ["fc2", "fc3"]


def test_a_granularity_of_steps_brings_the_nearest_of_them() -> None:
    bench = pc.Workbench(resources.model("resnet_fashion"))
    block = {"layers.0.conv1": {"granularity": "layer"}}
    for before, after in ((0.3, 0.0), (0.8, 1.0)):
        plan = Plan(layers={"layers.0.conv1": LayerPlan(sparsity=before)})
        assert options.wishes(block, plan, bench.ranking)["layers.0.conv1"]["sparsity"] == after
    pattern = options.wishes({"layers.0.conv1": {"granularity": "n_m?m=4&n=1"}}, Plan(), bench.ranking)
    assert pattern["layers.0.conv1"]["sparsity"] == 0.75


def test_coupled_rows_carry_a_letter_and_bind_when_channels_go() -> None:
    bench = pc.Workbench(resources.model("resnet_fashion"))
    state = ExplorerState(model="resnet_fashion", plan=bench.plan)
    found = {row["name"]: row for row in rows.mixer_rows(bench, state)}
    letters = [row["group"]["letter"] if row["group"] else "" for row in found.values()]
    assert letters == ["A", "", "A", "", "B", "B", "", "B", "", "C", "C", "", "C", ""]
    assert not any(row["group"]["active"] for row in found.values() if row["group"])
    assert found["conv1"]["group"]["tip"] == "Coupled with layers.0.conv2: binds only when whole channels go."
    channels = LayerPlan(sparsity=0.5, granularity="output_channel")
    plan = pc.edited(bench.plan, {"conv1": channels.model_dump()}, bench.ranking)
    bound = {row["name"]: row for row in rows.mixer_rows(bench, ExplorerState(model="resnet_fashion", plan=plan))}
    assert [name for name, row in bound.items() if row["group"] and row["group"]["active"]] == [
        "conv1",
        "layers.0.conv2",
    ]
    assert bound["layers.0.conv2"]["sparsity"] == 0.5
    assert bound["conv1"]["units"] == {"word": "channel", "n": 16, "stay": []}


def test_what_a_reader_of_plans_sees_is_said_with_a_way_out_until_it_is_put_aside() -> None:
    bench = pc.Workbench(resources.model("resnet_fashion"))
    plan = bench.plan.with_layers({"fc": {"sparsity": 0.5}, "conv1": {"sparsity": 0.5}})
    bench.set_plan(plan)
    state = ExplorerState(model="resnet_fashion", plan=plan)
    said = notes.note(bench, state, [])
    assert said is not None
    assert "".join(part["text"] for part in said["text_parts"]) == (
        "fc: the last layer, which gives the answers, loses 50.0% of its weights; it holds 0.38% of the model's. "
        "Would help: leave it dense. 1 more note."
    )
    assert [action["label"] for action in said["actions"]] == ["Show layer", "Mend", "Ignore"]
    mended = {"fc": {"sparsity": 0.0}}
    assert said["actions"][1]["command"] == {"kind": "edit", "changes": mended}
    put_aside = ExplorerState(plan=plan, view={"ignored": (tuple(said["actions"][2]["command"]["finding"]),)})
    other = notes.note(bench, put_aside, [])
    assert other is not None
    assert other["text_parts"][0]["text"] == "conv1"


def test_the_panel_counts_what_a_structural_wish_keeps() -> None:
    bench = pc.Workbench(resources.model("vit_fashion"))
    name = "layers.0.attention.qkv"
    bench.edit(name, granularity="head", sparsity=0.5)
    shown = panel.panel(bench, ExplorerState(model="vit_fashion", plan=bench.plan, layer=name))
    assert shown["facts"][-1] == {"text": "2 of 4 heads kept", "strong": True}


def test_the_heatmap_has_a_row_for_each_set_of_coupled_layers_and_reasons_for_the_rest() -> None:
    bench = pc.Workbench(resources.model("resnet_fashion"))
    found = {row.name: row for row in sweeps.heatmap_rows(bench, Request(granularity="output_channel"))}
    assert list(found)[:3] == ["conv1", "layers.0.conv1", "layers.1.conv1"]
    assert found["conv1"].others == ("layers.0.conv2",)
    assert found["fc"].why_not.startswith("none of its outputs can go: ")
    assert sum(row.share_params for row in found.values()) < 1  # the rest are norms
    assert len(sweeps.heatmap_rows(bench, Request())) == len(bench.model.graph.layers)


def test_without_data_no_row_offers_to_be_measured(bench: pc.Workbench) -> None:
    for known, expected in ((bench, True), (pc.Workbench(bench.model), False)):
        drawn = rows.mixer_rows(known, ExplorerState(model=LENET, plan=bench.plan))
        assert {row["measurable"] for row in drawn} == {expected}

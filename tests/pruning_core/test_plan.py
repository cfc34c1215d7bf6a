"""The plan: round trip, copies with changes, refusals in one sentence."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.errors import PlanError
from pruning_core.plan import LayerPlan, ModelId, Plan

LAYER_PLANS = st.builds(
    LayerPlan,
    sparsity=st.floats(0, 1),
    granularity=st.sampled_from(["fine_grained", "n_m"]),
    criterion=st.sampled_from(["l1", "random"]),
    locked=st.booleans(),
    settings=st.dictionaries(st.sampled_from("nm"), st.one_of(st.integers(), st.text(), st.floats(0, 1))),
)
PLANS = st.builds(
    Plan,
    model=st.builds(ModelId, name=st.text(), sha256=st.text()),
    layers=st.dictionaries(st.text(), LAYER_PLANS, max_size=3),
    scope=st.sampled_from(["layer", "model"]),
    seed=st.integers(),
)


@settings(deadline=None, max_examples=60)
@given(plan=PLANS)
def test_json_and_back_is_the_same_plan(plan: Plan) -> None:
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert list(again.layers) == list(plan.layers)


def test_the_document_is_the_one_of_the_design() -> None:
    text = """{"version": 1, "model": {"name": "m", "sha256": "ab"}, "layers": {"conv1": {"sparsity": 0.5,
    "granularity": "row", "criterion": "l2", "locked": true, "settings": {"n": 2}}}, "scope": "model", "seed": 3}"""
    plan = Plan.from_json(text)
    wish = LayerPlan(sparsity=0.5, granularity="row", criterion="l2", locked=True, settings={"n": 2})
    assert plan == Plan(model=ModelId(name="m", sha256="ab"), layers={"conv1": wish}, scope="model", seed=3)


def test_a_layer_left_out_is_dense() -> None:
    assert Plan().layer("conv1") == LayerPlan(sparsity=0.0, granularity="fine_grained", criterion="l1")


def test_with_layer_returns_a_changed_copy() -> None:
    before = Plan().with_layer("a", sparsity=0.5)
    after = before.with_layer("a", criterion="l2")
    assert before.layer("a") == LayerPlan(sparsity=0.5)
    assert after.layer("a") == LayerPlan(sparsity=0.5, criterion="l2")


def test_with_layers_changes_several_at_once_and_keeps_the_others() -> None:
    plan = (
        Plan(seed=7).with_layers({"a": {"sparsity": 0.1}, "b": {"sparsity": 0.2}}).with_layers({"b": {"locked": True}})
    )
    assert plan.layers == {"a": LayerPlan(sparsity=0.1), "b": LayerPlan(sparsity=0.2, locked=True)}
    assert plan.seed == 7


def test_a_plan_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Plan().seed = 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the plan is not JSON: "),
        pytest.param("[" * 100_000, "the plan is not JSON: ", id="deep"),
        ("3", "plan: input should be a valid dictionary or instance of plan, got 3"),
        ('{"version": 2}', "version: input should be 1, got 2"),
        ('{"layer": {}}', "layer: unknown field; did you mean 'layers'?"),
        ('{"model": {"nam": ""}}', "model.nam: unknown field; did you mean 'name'?"),
        ('{"scope": "all"}', "scope: input should be 'layer' or 'model', got 'all'"),
        ('{"layers": {"a": {"sparsity": 1.5}}}', "layers.a.sparsity: input should be less than or equal to 1, got 1.5"),
        ('{"layers": {"a": {"sparsity": NaN}}}', "layers.a.sparsity: "),
        ('{"layers": {"a": {"sparsty": 0.5}}}', "layers.a.sparsty: unknown field; did you mean 'sparsity'?"),
        ('{"layers": {"a": {"settings": {"n": Infinity}}}}', "layers.a.settings.n"),
        ('{"layers": {"a": {"settings": {"n": [1]}}}}', "layers.a.settings.n"),
    ],
)
def test_what_is_not_a_plan_is_refused_in_one_sentence(text: str, message: str) -> None:
    with pytest.raises(PlanError) as refusal:
        Plan.from_json(text)
    assert str(refusal.value).startswith(message)
    assert "\n" not in str(refusal.value)


def test_with_layer_checks_its_changes() -> None:
    with pytest.raises(PlanError, match=r"^sparsity: input should be greater than or equal to 0, got -0.1$"):
        Plan().with_layer("a", sparsity=-0.1)
    with pytest.raises(PlanError, match=r"^criterium: unknown field; did you mean 'criterion'\?$"):
        Plan().with_layer("a", criterium="l1")


def test_files(tmp_path: Path) -> None:
    plan = Plan().with_layer("a", sparsity=0.5)
    (tmp_path / "plan.json").write_text(plan.to_json(), "utf-8")
    assert Plan.read(tmp_path / "plan.json") == plan
    with pytest.raises(PlanError, match=r"^cannot read the plan"):
        Plan.read(tmp_path / "none.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanError, match=r"^cannot read the plan"):
        Plan.read(tmp_path / "binary")

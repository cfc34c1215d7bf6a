"""Contract of every granularity, exact layouts, refusals in one sentence."""

import re
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.errors import GranularityError
from pruning_core.granularities import GRANULARITIES, Granularity
from pruning_core.registry import check_settings

LINEAR, CONV = (8, 16), (8, 4, 3, 3)
CONV_THAT_FITS = (16, 16, 3, 3)
MEMBERS = [pytest.param(member, id=name) for name, member in GRANULARITIES.items()]
PRESETS = [
    pytest.param(member, preset, id=f"{name} {preset}")
    for name, member in GRANULARITIES.items()
    for preset in member.presets
]
CUTS = [m for m in GRANULARITIES.values() if m.structure is None]  # those that cut a weight alone
unhurried = settings(deadline=None, max_examples=100)


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_says_what_it_is_in_one_line_with_its_source(member: Granularity) -> None:
    assert member.doc.endswith(".")
    assert re.search(r"(19|20)\d\d, (arXiv:\d{4}\.\d{4,5}|doi:10\.)", member.doc)


@pytest.mark.parametrize(("member", "preset"), PRESETS)
def test_presets_are_declared_settings_within_bounds(member: Granularity, preset: dict[str, object]) -> None:
    assert check_settings(member.settings, preset) == preset


@pytest.mark.parametrize(("member", "preset"), PRESETS)
def test_labels_are_filled_in(member: Granularity, preset: dict[str, object]) -> None:
    label = member.label_of(**preset)
    assert label
    assert "{" not in label


@pytest.mark.parametrize(("member", "preset"), [p for p in PRESETS if p.values[0] in CUTS])
def test_a_preset_fits_an_ordinary_convolution(member: Granularity, preset: dict[str, object]) -> None:
    layout = member.layout(CONV_THAT_FITS, **preset)
    assert layout.n_arenas * layout.blocks_per_arena * layout.block_size == prod(CONV_THAT_FITS)


@unhurried
@given(
    way=st.sampled_from([(m, p) for m in CUTS for p in m.presets]),
    shape=st.lists(st.integers(1, 9), min_size=2, max_size=5).map(tuple),
)
def test_a_layout_tiles_the_weight_exactly_or_is_refused(
    way: tuple[Granularity, dict[str, object]], shape: tuple[int, ...]
) -> None:
    member, preset = way
    try:
        layout = member.layout(shape, **preset)
    except GranularityError:
        return
    assert layout.weight_shape == shape
    assert sorted(layout.order) == list(range(len(shape)))
    assert prod(layout.view) == prod(shape)
    tiles = zip(layout.view, layout.block, layout.arena or layout.view, strict=True)
    assert all(view % arena == 0 and arena % block == 0 for view, block, arena in tiles)
    assert layout.n_arenas * layout.blocks_per_arena * layout.block_size == prod(shape)


@pytest.mark.parametrize(
    ("name", "shape", "blocks", "size"),
    [
        ("fine_grained", CONV, 288, 1),
        ("row", CONV, 8, 36),
        ("row", LINEAR, 8, 16),
        ("column", CONV, 36, 8),
        ("column", LINEAR, 16, 8),
        ("kernel", CONV, 32, 9),
        ("block", LINEAR, 8, 16),
        ("block", CONV, 18, 16),
    ],
)
def test_blocks_of_a_layer(name: str, shape: tuple[int, ...], blocks: int, size: int) -> None:
    layout = GRANULARITIES[name].layout(shape)
    assert (layout.n_arenas, layout.blocks_per_arena, layout.block_size) == (1, blocks, size)


def test_two_of_four_competes_in_arenas_of_four_inputs() -> None:
    layout = GRANULARITIES["n_m"].layout(CONV)
    assert (layout.n_arenas, layout.blocks_per_arena, layout.block_size) == (72, 4, 1)
    assert layout.view == (72, 4)  # (out * kernel, in)
    assert layout.steps == (0.0, 0.5)
    assert GRANULARITIES["n_m"].layout(CONV, layout="flat").view == (8, 36)


@pytest.mark.parametrize(
    ("name", "shape", "preset", "message"),
    [
        ("n_m", (8, 6), {}, "2:4 needs inputs in groups of 4, this layer has 6; m of 2 would fit"),
        ("n_m", (8, 4), {"n": 4, "m": 4}, "4:4 removes nothing; n must be below m"),
        (
            "n_m",
            (8, 1, 3, 3),
            {},
            "2:4 needs inputs in groups of 4, this layer has 1 for each output; no m of 2, 4, 8, 16 or 32 fits",
        ),
        (
            "n_m",
            (8, 1, 2, 2),
            {},
            "2:4 needs inputs in groups of 4, this layer has 1 for each output; no m of 2, 4, 8, 16 or 32 fits; layout "
            "flat would fit",
        ),
        (
            "n_m",
            (8, 2, 3, 3),
            {"layout": "flat"},
            "2:4 needs the weights of an output in groups of 4, this layer has 18; m of 2 would fit",
        ),
        ("block", (8, 6), {"rows": 3, "cols": 1}, "blocks of (3, 1) do not tile a matrix of (8, 6); try (8, 2)"),
        ("kernel", (8, 6), {}, "a weight without kernel positions has no kernels to remove"),
        ("kernel", (8, 6, 1, 1), {}, "a weight without kernel positions has no kernels to remove"),
    ],
)
def test_refusals_say_what_would_fit(name: str, shape: tuple[int, ...], preset: dict[str, int], message: str) -> None:
    with pytest.raises(GranularityError, match=f"^{re.escape(message)}"):
        GRANULARITIES[name].layout(shape, **preset)


@pytest.mark.parametrize("member", [m for m in MEMBERS if m.values[0] not in CUTS])
def test_structures_have_no_layout_of_a_weight_alone(member: Granularity) -> None:
    with pytest.raises(GranularityError, match=f"^the units of {member.name} come from the coupled layers"):
        member.layout(CONV_THAT_FITS)


def test_structures_are_named_by_what_they_take_out() -> None:
    structures = {name: (m.structure, m.label) for name, m in GRANULARITIES.items() if m.structure}
    assert structures == {
        "output_channel": ("output", "Channel"),
        "input_channel": ("input", "Input channel"),
        "head": ("head", "Head"),
        "layer": ("branch", "Layer"),
    }


@pytest.mark.parametrize(("preset", "label"), [({}, "2:4"), ({"n": 1, "m": 8}, "1:8"), ({"m": 16}, "2:16")])
def test_n_m_is_called_by_its_numbers(preset: dict[str, int], label: str) -> None:
    assert GRANULARITIES["n_m"].label_of(**preset) == label

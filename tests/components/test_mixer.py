"""The layer mixer in a real browser on a real Streamlit server."""

import json
import statistics
from collections.abc import Iterator
from typing import Any

import harness_mixer as harness
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
CONV = "layers.0.conv1"  # pruned 20 %
OTHER = "layers.0.conv2"  # pruned 40 %
PATTERN = "layers.1.conv1"  # 2:4
LOCKED = "stem.0"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with harness.serve() as url:
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with harness.browser() as browser:
        yield browser


class Mixer:
    """One open page, with short names for what the tests do."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def row(self, layer: str) -> Any:
        return self.page.locator(f'.rw[data-layer="{layer}"]')

    def slider(self, layer: str) -> Any:
        return self.row(layer).locator(".range")

    def field(self, layer: str) -> Any:
        return self.row(layer).locator(".pct input")

    def shown(self) -> list[str]:
        return self.page.locator(".body .rw[data-layer]").evaluate_all("rows => rows.map((row) => row.dataset.layer)")

    def value(self, layer: str) -> float:
        return float(self.slider(layer).input_value()) / 100

    def events(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until Python has had `count` of these events, then a little longer for one too many."""
        for _ in range(60):
            if len(harness.events(self.page, kind)) >= count:
                break
            self.page.wait_for_timeout(100)
        self.page.wait_for_timeout(400)
        return harness.events(self.page, kind)

    def command(self, kind: str) -> dict[str, Any]:
        commands = [command for command in self.events("command") if command["kind"] == kind]
        assert len(commands) == 1, commands
        return commands[0]

    def press_button(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def focus(self, layer: str) -> None:
        self.slider(layer).focus()

    def grab(self, layer: str, sparsity: float | None = None) -> tuple[float, float]:
        """Put the pointer on the thumb and press; returns left end and length of the axis."""
        box = self.slider(layer).bounding_box()
        left, length = box["x"] + 7, box["width"] - 14
        at = self.value(layer) if sparsity is None else sparsity
        self.page.mouse.move(left + length * at, box["y"] + box["height"] / 2)
        self.page.mouse.down()
        return left, length

    def drag(self, layer: str, end: float, steps: int = 12) -> None:
        left, length = self.grab(layer)
        self.page.mouse.move(left + length * end, self.slider(layer).bounding_box()["y"] + 8, steps=steps)


@pytest.fixture
def open_mixer(address: str, chromium: Any) -> Iterator[Any]:
    contexts = []

    def open_page(query: str = "", **context_options: Any) -> Mixer:
        options = {"viewport": {"width": 1280, "height": 1000}} | context_options
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.goto(f"{address}/?log=1&{query}")
        page.locator(".mixer .rw").first.wait_for(timeout=30000)
        page.locator("#log").wait_for(state="attached")
        return Mixer(page)

    yield open_page
    problems = [problem for context in contexts for page in context.pages for problem in page.problems]
    for context in contexts:
        context.close()
    assert problems == []


def test_a_drag_streams_values_and_commits_once(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.drag(CONV, 0.5)
    mixer.page.wait_for_timeout(300)
    assert mixer.row(CONV).locator(".e").inner_text().endswith("est.")
    assert mixer.page.locator(".drag-tip").is_visible()
    assert "1,152 of 2,304" in mixer.page.locator(".drag-tip").inner_text()
    mixer.page.mouse.up()
    commits = mixer.events("commit")
    drags = mixer.events("drag", 2)
    assert [commit["changes"] for commit in commits] == [{CONV: {"sparsity": 0.5}}]
    assert len(drags) >= 2
    assert drags[-1]["changes"] == {CONV: {"sparsity": 0.5}}
    assert [drag["seq"] for drag in drags] == sorted(drag["seq"] for drag in drags)
    assert commits[0]["seq"] > drags[-1]["seq"]
    assert mixer.page.locator(".drag-tip").is_hidden()


def test_a_press_without_a_move_commits_nothing(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.grab(CONV)
    mixer.page.mouse.up()
    mixer.page.wait_for_timeout(800)
    assert harness.events(mixer.page, "commit") == []
    assert [choice["layer"] for choice in mixer.events("select")] == [CONV]


def test_all_layers_move_in_proportion_or_all_the_same(open_mixer: Any) -> None:
    mixer = open_mixer()
    everything = mixer.page.locator(".rw.all .range")
    everything.focus()
    mixer.page.keyboard.press("Shift+ArrowRight")
    changes = mixer.events("commit")[0]["changes"]
    assert LOCKED not in changes
    assert changes[OTHER]["sparsity"] / changes[CONV]["sparsity"] == pytest.approx(2, rel=0.01)
    assert 0.3 < float(everything.input_value()) / 100 < 0.36
    mixer.page.locator(".mode").select_option("same")
    mixer.page.locator(".rw.all .pct input").fill("40")
    mixer.page.keyboard.press("Enter")
    changes = mixer.events("commit", 2)[1]["changes"]
    assert changes[CONV] == {"sparsity": 0.4}
    assert changes.get(PATTERN, {"sparsity": 0.5}) == {"sparsity": 0.5}
    assert mixer.value(CONV) == mixer.value(OTHER) == 0.4


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["ArrowRight"], 0.21), (["ArrowLeft"], 0.19), (["Shift+ArrowRight"], 0.25), (["Shift+ArrowLeft"], 0.15),
        (["Home"], 0), (["End"], 0.99), (["3", "7", ".", "5", "Enter"], 0.375),
    ],
)  # fmt: skip
def test_keys_set_a_sparsity(open_mixer: Any, keys: list[str], expected: float) -> None:
    mixer = open_mixer()
    mixer.focus(CONV)
    for key in keys:
        mixer.page.keyboard.press(key)
    assert [commit["changes"] for commit in mixer.events("commit")] == [{CONV: {"sparsity": expected}}]
    assert mixer.value(CONV) == pytest.approx(expected)
    assert mixer.field(CONV).input_value() == f"{100 * expected:g} %"


def test_a_held_key_is_one_undo_step(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.focus(CONV)
    for _ in range(6):
        mixer.page.keyboard.down("ArrowRight")
    mixer.page.keyboard.up("ArrowRight")
    assert [commit["changes"] for commit in mixer.events("commit")] == [{CONV: {"sparsity": 0.26}}]


def test_a_number_field_takes_enter_and_refuses_words(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.field(CONV).fill("62,5 %")
    mixer.page.keyboard.press("Enter")
    assert mixer.events("commit")[0]["changes"] == {CONV: {"sparsity": 0.625}}
    for wrong in ("many", "", "-3"):
        mixer.field(CONV).fill(wrong)
        mixer.page.keyboard.press("Enter")
        assert mixer.field(CONV).input_value() == "62.5 %"
    mixer.field(CONV).fill("9")
    mixer.page.keyboard.press("Escape")
    assert mixer.field(CONV).input_value() == "62.5 %"
    assert len(mixer.events("commit")) == 1


def test_commands_from_the_keyboard(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.focus(CONV)
    mixer.page.keyboard.press("Control+z")
    mixer.command("undo")
    mixer.page.keyboard.press("Control+Shift+Z")
    mixer.page.wait_for_timeout(300)
    mixer.command("redo")
    mixer.page.keyboard.press("m")
    mixer.page.wait_for_timeout(300)
    mixer.command("mask")
    mixer.page.get_by_role("button", name="All 10").focus()
    mixer.page.keyboard.press("3")
    mixer.page.wait_for_timeout(300)
    assert mixer.command("tab")["index"] == 3
    mixer.page.keyboard.press("?")
    assert mixer.page.get_by_role("dialog", name="Keys").is_visible()
    mixer.page.keyboard.press("Escape")
    assert mixer.page.get_by_role("dialog", name="Keys").is_hidden()


def test_letters_in_a_field_are_letters(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.focus(CONV)
    mixer.page.keyboard.press("/")
    mixer.page.keyboard.type("mlj1?")
    assert mixer.page.locator(".find input").input_value() == "mlj1?"
    mixer.page.keyboard.press("Control+z")
    mixer.page.wait_for_timeout(500)
    assert harness.events(mixer.page) == []


def test_search_and_filters(open_mixer: Any) -> None:
    mixer = open_mixer()
    find = mixer.page.locator(".find input")
    find.fill("conv2")
    assert mixer.shown() == ["layers.0.conv2", "layers.1.conv2", "layers.2.conv2"]
    find.fill("attn")
    assert mixer.page.get_by_text("No layer named “attn”.").is_visible()
    mixer.press_button("Show all")
    assert len(mixer.shown()) == 10
    mixer.press_button("Locked 1")
    assert mixer.shown() == [LOCKED]
    mixer.press_button("Above tolerance 1")
    assert mixer.shown() == [PATTERN]
    mixer.press_button("Pruned 9")
    assert LOCKED not in mixer.shown()
    assert len(mixer.shown()) == 9


def test_sorting_moves_the_same_nodes(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.row(CONV).evaluate("row => { row.mine = true }")
    mixer.page.locator(".sort").select_option("sensitive")
    assert mixer.shown()[0] == LOCKED
    mixer.page.locator(".sort").select_option("params")
    assert mixer.shown()[0] == "layers.2.conv2"
    mixer.page.locator(".sort").select_option("model")
    assert mixer.shown()[:2] == [LOCKED, CONV]
    assert mixer.row(CONV).evaluate("row => row.mine")


def test_walking_and_choosing_rows(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.row(CONV).locator(".nm").click()
    mixer.page.keyboard.press("ArrowDown")
    mixer.page.keyboard.press("j")
    mixer.page.keyboard.press("k")
    assert mixer.slider(OTHER).evaluate("slider => slider === slider.getRootNode().activeElement")
    assert [choice["layer"] for choice in mixer.events("select", 2)][-1] == OTHER
    assert mixer.row(OTHER).get_attribute("aria-selected") == "true"
    assert mixer.value(OTHER) == 0.4


def test_marked_rows_move_together_in_one_commit(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.row(CONV).locator(".nm").click()
    mixer.row("layers.1.conv2").locator(".nm").click(modifiers=["Shift"])
    expect(mixer.page.locator(".rw.marked")).to_have_count(4)
    mixer.drag(CONV, 0.35)
    mixer.page.mouse.up()
    commits = mixer.events("commit")
    assert len(commits) == 1
    assert commits[0]["changes"][CONV] == commits[0]["changes"]["layers.1.conv2"] == {"sparsity": 0.35}
    assert mixer.value(PATTERN) == 0.5  # nearest step of 2:4
    mixer.row("fc").locator(".nm").click(modifiers=["Control"])
    expect(mixer.page.locator(".rw.marked")).to_have_count(5)
    mixer.page.keyboard.press("Escape")
    expect(mixer.page.locator(".rw.marked")).to_have_count(0)


def test_rows_that_lose_the_same_channels_move_as_one(open_mixer: Any) -> None:
    mixer = open_mixer()
    members = ["layers.2.conv2", "layers.2.down.0"]
    mixer.drag(members[1], 0.5)
    assert "32 of 64 channels, in 2 layers" in mixer.page.locator(".drag-tip").inner_text()
    mixer.page.mouse.up()
    assert [commit["changes"] for commit in mixer.events("commit")] == [
        {name: {"sparsity": 0.5} for name in members},
    ]
    mixer.row(members[0]).hover()
    mixer.row(members[0]).locator(".lk").click()
    assert mixer.events("commit", 2)[1]["changes"] == {name: {"locked": True} for name in members}


def test_rows_that_could_lose_the_same_channels_move_alone(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.focus("layers.1.conv2")
    mixer.page.keyboard.press("ArrowRight")
    assert [list(commit["changes"]) for commit in mixer.events("commit")] == [["layers.1.conv2"]]
    mixer.page.keyboard.press("g")
    expect(mixer.page.locator(".rw.marked")).to_have_count(2)


def test_rails_join_the_letters_in_model_order(open_mixer: Any) -> None:
    mixer = open_mixer()
    letters = mixer.page.locator(".badge").all_inner_texts()
    assert letters == ["A", "A", "B", "B", "C", "C"]
    assert mixer.page.locator(".badge.on").all_inner_texts() == ["C", "C"]
    assert mixer.page.locator(".line").count() == 3 + 2 + 2
    assert mixer.row(CONV).locator(".line").count() == 1  # between two members of A
    mixer.page.locator(".sort").select_option("params")
    assert mixer.page.locator(".line").count() == 0
    assert len(mixer.page.locator(".badge").all()) == 6
    mixer.row("layers.2.conv2").hover()
    expect(mixer.page.locator(".rw.kin")).to_have_count(2)


def test_shift_and_arrow_marks_rows(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.row(CONV).locator(".nm").click()
    mixer.page.keyboard.press("Shift+ArrowDown")
    expect(mixer.page.locator(".rw.marked")).to_have_count(2)
    mixer.page.keyboard.press("Shift+ArrowRight")
    changes = mixer.events("commit")[0]["changes"]
    assert changes == {CONV: {"sparsity": 0.45}, OTHER: {"sparsity": 0.45}}


def test_locked_rows_do_not_move(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.focus(LOCKED)
    for key in ("ArrowRight", "End"):
        mixer.page.keyboard.press(key)
    assert mixer.value(LOCKED) == 0
    assert mixer.slider(LOCKED).get_attribute("aria-disabled") == "true"
    assert mixer.field(LOCKED).is_disabled()
    assert mixer.row(LOCKED).locator(".gran select").is_disabled()
    assert harness.events(mixer.page, "commit") == []
    mixer.row(LOCKED).get_by_role("button", name=f"Unlock {LOCKED}").click()
    assert mixer.events("commit")[0]["changes"] == {LOCKED: {"locked": False}}
    mixer.row(CONV).locator(".nm").click()
    mixer.page.keyboard.press("l")
    assert mixer.events("commit", 2)[1]["changes"] == {CONV: {"locked": True}}
    assert mixer.page.get_by_role("button", name="Locked 1").is_visible()


def test_a_pattern_takes_only_its_steps(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.drag(PATTERN, 0.9)
    assert mixer.value(PATTERN) == 0.5
    mixer.page.mouse.up()
    mixer.page.wait_for_timeout(500)
    assert harness.events(mixer.page, "commit") == []
    mixer.focus(PATTERN)
    mixer.page.keyboard.press("ArrowLeft")
    assert mixer.events("commit")[0]["changes"] == {PATTERN: {"sparsity": 0}}
    mixer.page.keyboard.press("7")
    mixer.page.keyboard.press("0")
    mixer.page.keyboard.press("Enter")
    assert mixer.events("commit", 2)[1]["changes"] == {PATTERN: {"sparsity": 0.5}}


def test_selects_commit(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.row(CONV).locator(".gran select").select_option("n_m?m=4&n=2")
    assert mixer.events("commit")[0]["changes"] == {CONV: {"granularity": "n_m?m=4&n=2"}}
    mixer.page.locator(".rw.all .crit select").select_option("random")
    changes = mixer.events("commit", 2)[1]["changes"]
    assert len(changes) == 9
    assert set(map(json.dumps, changes.values())) == {'{"criterion": "random"}'}
    shown = mixer.page.locator(".rw.all .gran select").evaluate("select => select.selectedOptions[0].text")
    assert shown.startswith("mixed")


def test_names_are_text(open_mixer: Any) -> None:
    mixer = open_mixer("evil=1")
    assert mixer.page.locator("#evil").count() == 0
    assert mixer.page.locator(".mixer img").count() == 0
    assert mixer.page.evaluate("() => window.hacked") is None
    assert mixer.page.locator(".nm", has_text="<img src=x").count() == 1
    assert mixer.page.get_by_text("<b id='evil'>why</b>").is_visible()


def test_a_push_patches_values_in_place(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.row(CONV).evaluate("row => { row.mine = true }")
    mixer.page.locator(".find input").fill("layers")
    mixer.press_button("push")
    expect(mixer.slider(CONV)).to_have_value("33", timeout=10000)
    assert mixer.value(PATTERN) == 0
    assert mixer.field(CONV).input_value() == "33 %"
    assert mixer.row(CONV).evaluate("row => row.mine")
    assert mixer.page.locator(".find input").input_value() == "layers"
    assert "fc" not in mixer.shown()


def test_a_push_never_touches_a_row_being_dragged(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.drag(CONV, 0.6)
    mixer.page.evaluate("() => [...document.querySelectorAll('button')].find((b) => b.innerText === 'push').click()")
    expect(mixer.slider(OTHER)).to_have_value("33", timeout=10000)
    assert mixer.value(CONV) == 0.6
    mixer.page.mouse.up()
    assert mixer.events("commit")[-1]["changes"] == {CONV: {"sparsity": 0.6}}
    assert mixer.value(CONV) == 0.6


def test_no_commit_is_lost_on_a_slow_server(open_mixer: Any) -> None:
    """Streamlit keeps only the newest trigger while it is busy; the outbox waits for its answer."""
    mixer = open_mixer("latency=0.6")
    layers = [CONV, OTHER, "layers.1.conv2", "layers.1.down.0"]
    for layer in layers:
        mixer.row(layer).locator(".nm").click()
        mixer.page.keyboard.press("End")
        mixer.page.wait_for_timeout(150)
    commits = mixer.events("commit", 4)
    assert [list(commit["changes"]) for commit in commits] == [[layer] for layer in layers]
    mixer.page.wait_for_timeout(1500)
    assert mixer.events("select")[-1]["layer"] == layers[-1]


def test_without_an_answer_each_trigger_is_sent_at_once(open_mixer: Any) -> None:
    mixer = open_mixer("noack=1")
    mixer.focus(CONV)
    mixer.page.keyboard.press("ArrowRight")
    assert len(mixer.events("commit")) == 1
    mixer.page.keyboard.press("ArrowRight")
    assert len(mixer.events("commit", 2)) == 2


def test_notice_and_empty_curves_send_their_commands(open_mixer: Any) -> None:
    mixer = open_mixer("empty=1")
    note = mixer.page.locator(".note").inner_text()
    assert note.startswith("2.1 pt above tolerance. layers.1.conv1 alone costs 3.4 pt;")
    mixer.press_button("Use fine, 48 %")
    assert mixer.command("edit")["changes"] == {PATTERN: {"granularity": "fine_grained", "sparsity": 0.48}}
    mixer.press_button("Preview")
    mixer.page.wait_for_timeout(400)
    mixer.command("preview")
    tolerance = mixer.page.get_by_label("Tolerance in points")
    tolerance.fill("0.5")
    tolerance.press("Enter")
    mixer.page.wait_for_timeout(400)
    assert mixer.command("tolerance")["value"] == 0.5


def test_states_of_rows(open_mixer: Any) -> None:
    mixer = open_mixer("page=states")
    names = ("dense", "undecided", "above_pattern", "no_curve", "failed")
    text = {name: mixer.row(f"state.{name}").locator(".al").inner_text() for name in names}
    assert text["dense"] == "dense"
    assert text["undecided"].startswith("? −0.9")
    assert text["above_pattern"].startswith("−3.4")
    assert text["no_curve"] == "not measured"
    assert text["failed"] == "failed"
    assert "n 620" in mixer.row("state.measuring").inner_text()
    assert "est." in mixer.row("state.estimated").inner_text()
    assert "n 64" in mixer.row("state.preview").inner_text()
    assert mixer.row("pos_embed").get_by_text("Cannot be pruned.").is_visible()
    assert mixer.row("pos_embed").locator(".range").count() == 0
    mixer.press_button("Measure this layer")
    assert mixer.command("measure")["layer"] == "state.no_curve"


def test_one_tab_stop_and_spoken_values(open_mixer: Any) -> None:
    mixer = open_mixer()
    grid = mixer.page.get_by_role("grid", name="Layers")
    assert grid.locator("[tabindex='0']").count() == 1
    reachable = "all => all.filter((e) => e.tabIndex >= 0 && !e.disabled).length"
    assert grid.locator("button, select, input").evaluate_all(reachable) == 1
    assert mixer.slider(CONV).get_attribute("aria-valuetext") == "20 percent, drop alone minus 0.2 points"
    assert "above tolerance" in mixer.slider(PATTERN).get_attribute("aria-valuetext")
    assert grid.get_by_role("columnheader").count() == 9
    assert mixer.page.get_by_role("slider", name=f"Sparsity of {CONV}").count() == 1
    mixer.page.locator("[data-fit]").focus()
    mixer.page.keyboard.press("Tab")
    assert mixer.slider(LOCKED).evaluate("slider => slider === slider.getRootNode().activeElement")
    mixer.page.keyboard.press("Tab")
    assert not mixer.page.locator(".mixer").evaluate("mixer => !!mixer.getRootNode().activeElement?.closest('.rw')")


def test_enter_opens_the_fields_of_a_row(open_mixer: Any) -> None:
    mixer = open_mixer()
    mixer.row(CONV).locator(".nm").click()
    mixer.page.keyboard.press("Enter")
    mixer.page.keyboard.press("Tab")
    assert mixer.row(CONV).locator(".gran select").evaluate("e => e === e.getRootNode().activeElement")
    mixer.page.keyboard.press("Escape")
    assert mixer.slider(CONV).evaluate("e => e === e.getRootNode().activeElement")


def test_many_rows_have_stages_and_an_overview(open_mixer: Any) -> None:
    mixer = open_mixer("rows=105")
    assert mixer.page.locator(".stage-head .nm").all_inner_texts() == ["layer1", "layer2", "layer3", "layer4"]
    assert mixer.page.locator(".overview .tracks").get_attribute("d").count("M") == 105
    assert mixer.row("layer1.0.conv1").bounding_box()["height"] == 28
    mixer.page.locator(".stage-head .caret").first.click()
    assert mixer.row("layer1.0.conv1").is_hidden()
    assert mixer.page.locator(".overview .tracks").get_attribute("d").count("M") == 95
    mixer.page.locator(".stage-head .pct input").nth(1).fill("50")
    mixer.page.keyboard.press("Enter")
    changes = mixer.events("commit")[0]["changes"]
    assert all(name.startswith("layer2.") for name in changes)
    assert len(changes) == 13
    mixer.press_button("Roomy")
    assert mixer.row("layer2.0.conv1").bounding_box()["height"] == 48
    box = mixer.page.locator(".overview").bounding_box()
    mixer.page.mouse.click(box["x"] + 13, box["y"] + box["height"] - 3)
    mixer.page.wait_for_timeout(200)
    assert mixer.row("fc").is_visible()


_PROBE = """() => { const times = []; let last = performance.now(); window.frames_ = times;
  const next = (now) => { times.push(now - last); last = now; if (times.length < 2000) requestAnimationFrame(next) };
  requestAnimationFrame((now) => { last = now; requestAnimationFrame(next) }) }"""


@pytest.mark.parametrize("count", [20, 100, 300])
def test_dragging_stays_fluid(open_mixer: Any, count: int, record_property: Any) -> None:
    mixer = open_mixer(f"rows={count}")
    layer = mixer.shown()[4]
    left, length = mixer.grab(layer)
    y = mixer.slider(layer).bounding_box()["y"] + 8
    mixer.page.evaluate(_PROBE)
    for k in range(120):
        mixer.page.mouse.move(left + length * (0.2 + 0.6 * abs(60 - k) / 60), y)
        mixer.page.wait_for_timeout(8)
    frames = sorted(mixer.page.evaluate("() => window.frames_"))
    mixer.page.mouse.up()
    median, p95 = statistics.median(frames), frames[int(0.95 * len(frames))]
    record_property("median_ms", round(median, 1))
    record_property("p95_ms", round(p95, 1))
    print(f"\n{count} rows: median {median:.1f} ms, p95 {p95:.1f} ms, {len(frames)} frames")
    assert median < 100

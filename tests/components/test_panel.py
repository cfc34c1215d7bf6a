"""Weights and activations in a real browser under a real Streamlit server."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from harness_panel import HOSTILE, activations_data, panel_browser, panel_server, show_fixture, weights_data  # noqa: F401

from explorer.theme import CONFIG

pytestmark = pytest.mark.browser
SCALES = {scheme: CONFIG[f"theme.{scheme}.chartSequentialColors"] for scheme in ("light", "dark")}
BACKGROUND = {scheme: CONFIG[f"theme.{scheme}.backgroundColor"] for scheme in ("light", "dark")}


def rgb(color: str) -> np.ndarray:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def ramp(scheme: str, position: float) -> np.ndarray:
    stops = SCALES[scheme]
    at = min(position, 0.9999) * (len(stops) - 1)
    low, high = rgb(stops[int(at)]), rgb(stops[int(at) + 1])
    return low + (at - int(at)) * (high - low)


def unpack(data: bytes) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    (length,) = struct.unpack("<I", data[:4])
    head = json.loads(data[4 : 4 + length])
    bodies = np.frombuffer(data, "uint8", offset=4 + length).reshape(2, head["rows"], head["cols"])
    return head, bodies[0], bodies[1]


HEAD, SIZES, KEPT = unpack(weights_data())
CELL = 382 / 64  # the map is 384 wide with a hairline on each side


# ---- weights


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pixels_are_the_size_paled_by_the_pruned_share(show, scheme):
    shown = show("weights", scheme=scheme)
    shares = {"all": 255, "part": 85, "none": 0}
    for share in shares.values():
        row, col = np.argwhere(share == KEPT)[3]
        color = ramp(scheme, SIZES[row, col] / 255)
        weight = 0.3 + 0.7 * share / 255 if share else 0
        expected = rgb(BACKGROUND[scheme]) + weight * (color - rgb(BACKGROUND[scheme]))
        # near the upper left corner: the diagonal of pruned cells does not pass there
        np.testing.assert_allclose(shown.pixel((col + 0.25) * CELL, (row + 0.25) * CELL), expected, atol=1.5)


def test_pruned_cells_have_a_diagonal_and_the_mask_can_be_hidden(show):
    shown = show("weights")
    row, col = np.argwhere(KEPT == 0)[3]
    middle = (col + 0.5) * CELL, (row + 0.5) * CELL
    corner = (col + 0.2) * CELL, (row + 0.2) * CELL
    assert shown.pixel(*corner) == (255, 255, 255)
    assert shown.pixel(*middle) != (255, 255, 255)
    shown.root.get_by_label("Mask").uncheck()
    np.testing.assert_allclose(shown.pixel(*corner), ramp("light", SIZES[row, col] / 255), atol=1.5)
    assert shown.wait_for("options") == {"view": "folded", "sorted": True, "show_mask": False}


def test_click_sends_the_original_numbers_of_the_cell(show):
    shown = show("weights")
    shown.root.locator(".map").click(position={"x": 1 + 10.5 * CELL, "y": 1 + 3.5 * CELL})
    assert shown.wait_for("cell") == {"row": HEAD["row_ids"][3], "col": HEAD["col_ids"][10]}


def test_arrow_keys_move_the_cell_and_send_it_once(show):
    shown = show("weights")
    start = HEAD["row_ids"].index(12), HEAD["col_ids"].index(41)
    shown.root.locator(".map").focus()
    shown.page.keyboard.press("ArrowLeft")
    shown.page.keyboard.press("ArrowLeft")
    shown.page.keyboard.press("ArrowUp")
    assert shown.wait_for("cell") == {"row": HEAD["row_ids"][start[0] - 1], "col": HEAD["col_ids"][start[1] - 2]}
    shown.page.wait_for_timeout(400)
    assert len(shown.events("cell")) == 1
    said = shown.root.locator(".said").inner_text()
    assert said.startswith(
        f"Output {HEAD['col_ids'][start[1] - 2]}, input {HEAD['row_ids'][start[0] - 1]}, mean size of weight"
    )


def test_options_reach_python_and_sorting_keeps_the_chosen_weight(show):
    shown = show("weights")
    shown.root.get_by_label("Sort").uncheck()
    assert shown.wait_for("options")["sorted"] is False
    shown.root.get_by_text("sorted by norm").wait_for(state="detached")
    assert not shown.root.get_by_text("largest").is_visible()
    left = float(shown.root.locator(".cursor").evaluate("box => parseFloat(box.style.left)"))
    assert left == pytest.approx(41 * CELL, abs=0.1)  # unsorted: output 41 is column 41
    shown.root.get_by_role("button", name="Kernels").click()
    shown.page.wait_for_function('document.body.innerText.includes(\'"view": "kernels"\')')
    assert shown.events("options")[-1] == {"view": "kernels", "sorted": False, "show_mask": True}


def test_kernels_view_has_one_cell_a_weight(show):
    shown = show("weights")
    shown.root.get_by_role("button", name="Kernels").click()
    shown.wait_for("options")
    shown.root.locator('.map[aria-label*="60"]').wait_for()
    head, sizes, _ = unpack(weights_data(options={"view": "kernels"}))
    cell = 382 / 72
    at = {"x": 1 + 4.5 * cell, "y": 1 + 3.5 * shown.root.locator("canvas").bounding_box()["height"] / 72}
    shown.page.wait_for_timeout(500)
    shown.root.locator(".map").hover(position=at)
    words = shown.root.locator(".hover-tip").inner_text()
    output, row = head["col_ids"][3], head["row_ids"][3]
    assert words.startswith(
        f"Output {output}, input {row}, row 0, column 1\nsize of weight {sizes[3, 4] / 255 * 0.2:.2g}"
    )
    shown.root.locator(".map").click(position=at)
    assert shown.wait_for("cell") == {"row": row, "col": output}
    # the outline stays on the weight that was clicked, not on the first of its kernel
    assert float(shown.root.locator(".cursor").evaluate("box => parseFloat(box.style.left)")) == pytest.approx(
        4 * cell, abs=0.1
    )


def test_weights_of_the_kernel_are_printed_short(show):
    texts = show("weights").root.locator(".kernel text").all_text_contents()
    assert texts == ["−30", "+28", "−12", "+29", "−55", "+12", "+26", "+7", "−11"]  # thousandths, as said beside it
    large = show("weights", "large").root
    assert large.locator(".kernel text").all_text_contents()[:3] == ["−.30", "+1.2", "−12"]


def test_m_switches_the_mask(show):
    shown = show("weights")
    shown.root.locator(".map").focus()
    shown.page.keyboard.press("m")
    assert shown.wait_for("options")["show_mask"] is False
    assert not shown.root.get_by_label("Mask").is_checked()


def test_wheel_zooms_about_the_pointer_drag_pans_and_double_click_resets(show):
    shown = show("weights")
    box = shown.root.locator("canvas").bounding_box()
    x, y = 36.25 * CELL, 8.25 * CELL  # where a cell is at first
    before = shown.pixel(x, y)
    shown.page.mouse.move(box["x"] + 200, box["y"] + 60)
    shown.page.mouse.wheel(0, -346.6)  # exp(0.002 * 346.6) = 2
    x, y = 200 + 2 * (x - 200), 60 + 2 * (y - 60)
    np.testing.assert_allclose(shown.pixel(x, y), before, atol=2)
    shown.page.mouse.down()
    shown.page.mouse.move(box["x"] + 140, box["y"] + 60, steps=4)
    shown.page.mouse.up()
    np.testing.assert_allclose(shown.pixel(x - 60, y), before, atol=2)
    assert not shown.events("cell")  # a drag is no click
    shown.page.mouse.dblclick(box["x"] + 200, box["y"] + 60)
    assert shown.pixel(36.25 * CELL, 8.25 * CELL) == before


def test_hover_names_the_cell_with_value_and_kept_share(show):
    shown = show("weights")
    shown.root.locator(".map").hover(position={"x": 1 + 10.5 * CELL, "y": 1 + 3.5 * CELL})
    words = shown.root.locator(".hover-tip").inner_text()
    size = float(f"{SIZES[3, 10] / 255 * 0.2:.2g}")
    kept = round(KEPT[3, 10] / 255 * 9)
    assert (
        words
        == f"Output {HEAD['col_ids'][10]}, input {HEAD['row_ids'][3]}\nmean size of weight {size:g}, {kept} of 9 kept"
    )


def threshold_x(shown: Any, threshold: float) -> tuple[float, float]:
    box = shown.root.locator(".hist").bounding_box()
    return box["x"] + box["width"] * (threshold + 0.36) / 0.72, box["y"] + 90


@pytest.mark.parametrize("side", [1, -1])
def test_dragging_a_threshold_line_sends_its_sparsity(show, side):
    shown = show("weights")
    hist, wanted = HEAD["histogram"], 0.02
    x, y = threshold_x(shown, side * hist["threshold"])
    shown.page.mouse.move(x, y)
    shown.page.mouse.down()
    shown.page.mouse.move((x + threshold_x(shown, side * wanted)[0]) / 2, y, steps=3)
    shown.page.mouse.move(threshold_x(shown, side * wanted)[0], y, steps=3)
    expected = np.interp(wanted, hist["abs_sorted_quantiles"], np.linspace(0, 1, 101))
    assert shown.root.get_by_text(" % pruned", exact=False).first.is_visible()
    assert not shown.events("commit")
    shown.page.mouse.up()
    assert shown.wait_for("commit")["sparsity"] == pytest.approx(expected, abs=0.006)
    drags = [value["sparsity"] for value in shown.events("drag")]
    assert drags == sorted(drags, reverse=True)
    assert len(drags) >= 1
    shown.root.get_by_text(f"{100 * shown.events('commit')[0]['sparsity']:g} % pruned").wait_for()


def test_threshold_is_a_slider_for_the_keyboard_and_commits_once(show):
    shown = show("weights")
    slider = shown.root.get_by_role("slider")
    assert slider.count() == 1
    assert slider.get_attribute("aria-valuetext").startswith("60 percent pruned, threshold 0.0")
    slider.focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowRight", "ArrowLeft"):
        shown.page.keyboard.press(key)
    assert slider.get_attribute("aria-valuenow") == "66"
    assert shown.wait_for("commit") == {"sparsity": 0.66}
    assert shown.events("drag")[0] == {"sparsity": 0.61}
    shown.page.wait_for_timeout(600)
    assert len(shown.events("commit")) == 1
    assert slider.evaluate("e => e === e.getRootNode().activeElement")  # the focus stayed through Python's answer


def test_criterion_without_size_threshold_says_so_and_has_no_lines(show):
    shown = show("weights", "wanda")
    shown.root.get_by_text("Pruned by Wanda. The grey part of each bar is pruned.").wait_for()
    assert shown.root.get_by_role("slider").count() == 0
    head = unpack(weights_data("wanda"))[0]["histogram"]
    middle = len(head["counts"]) // 2
    box = shown.root.locator(".hist .pruned").bounding_box()
    tallest = shown.root.locator(".hist .kept").bounding_box()
    top = int(np.argmax(head["counts"]))
    assert abs(top - middle) <= 2
    assert box["height"] < tallest["y"] + tallest["height"] - tallest["y"] + 132  # both drawn
    assert box["y"] > tallest["y"]  # grey lies under the kept part


def test_locked_layer_cannot_be_dragged(show):
    shown = show("weights", "locked")
    x, y = threshold_x(shown, unpack(weights_data("locked"))[0]["histogram"]["threshold"])
    shown.page.mouse.move(x, y)
    shown.page.mouse.down()
    shown.page.mouse.move(x + 60, y, steps=3)
    shown.page.mouse.up()
    shown.root.locator(".map").click()
    shown.wait_for("cell")  # whatever the drag had sent would have come before
    assert shown.events("commit") == shown.events("drag") == []


def test_aggregation_and_kernel_are_told_in_words(show):
    shown = show("weights", "aggregated", width=300)
    shown.root.get_by_text("Each cell is the mean of 4 x 6 weights; 392 x 3136 shown as 98 x 523.").wait_for()
    shown.root.get_by_text("zoom in to see each one").wait_for()
    assert shown.root.get_by_text("Output 41, input 12").is_visible()
    assert shown.root.evaluate("e => e.scrollWidth <= e.clientWidth + 1")


def test_names_of_the_weights_panel_are_text(show):
    shown = show("weights", "hostile")
    assert HOSTILE in shown.root.locator(".map").get_attribute("aria-label")
    assert shown.root.locator(".title").inner_text().startswith(HOSTILE)
    assert HOSTILE in shown.root.locator(".hint").inner_text()
    assert shown.root.locator("img").count() == 0
    assert not shown.page.evaluate("window.hacked")


@pytest.mark.parametrize("width", [300, 384, 800])
def test_weights_fit_their_column(show, width):
    shown = show("weights", width=width)
    assert shown.root.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    assert shown.root.bounding_box()["width"] == pytest.approx(width, abs=1)


# ---- activations


def test_click_on_a_row_selects_the_layer(show):
    shown = show("activations")
    shown.root.locator(".row").nth(2).click()
    assert shown.wait_for("select") == {"layer": "layers.0.conv2"}
    assert shown.root.locator(".row[aria-selected=true] .name").inner_text() == "layers.0.conv2"
    assert shown.root.locator(".profile h2").inner_text() == "layers.0.conv2"


def test_arrows_select_rows(show):
    shown = show("activations")
    shown.root.locator(".rows").focus()
    shown.page.keyboard.press("ArrowUp")
    assert shown.wait_for("select") == {"layer": "layers.1.conv2"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_strips_have_the_colour_of_each_share(show, scheme):
    shown = show("activations", scheme=scheme)
    canvas = shown.root.locator("canvas").bounding_box()
    for row, channel in ((0, 3), (5, 17), (5, 18)):
        layer = activations_data()["layers"][row]
        x = (channel + 0.5) * canvas["width"] / layer["channels"]
        np.testing.assert_allclose(shown.pixel(x, 24 * row + 12), ramp(scheme, layer["zeros"][channel]), atol=1.5)


def test_dead_channels_are_listed(show):
    shown = show("activations")
    shown.root.get_by_text("3 dead channels of 64: 4, 17, 60").wait_for()
    shown.root.locator(".row").first.click()
    shown.root.get_by_text("No dead channels over 512 examples.").wait_for()


def test_layer_without_relu_is_said_in_words(show):
    shown = show("activations")
    assert shown.root.locator(".row").last.inner_text() == "fc\nno zeros: no ReLU after it"
    shown.root.locator(".row").last.click()
    shown.root.get_by_text("fc has no ReLU-like function after it").wait_for()
    assert not shown.root.locator(".profile svg").is_visible()


def test_profile_can_be_sorted(show):
    shown = show("activations")
    first = shown.root.locator(".profile .dead").get_attribute("d")
    shown.root.get_by_role("button", name="Sorted").click()
    assert shown.root.get_by_text("most zeros").is_visible()
    assert shown.root.locator(".profile .dead").get_attribute("d") != first
    assert shown.root.locator(".profile .dead").get_attribute("d").startswith("M40 ")


def test_more_channels_than_pixels_are_averaged_and_said(show):
    shown = show("activations", "many")
    shown.root.get_by_text("a column is the mean of up to 1").wait_for()
    names = shown.root.locator(".row .name")
    assert names.nth(10).inner_text() != names.nth(11).inner_text()  # cut at the front, not where they differ
    zeros = np.array(activations_data("many")["layers"][0]["zeros"])
    width = int(shown.root.locator("canvas").bounding_box()["width"])
    column = zeros[5 * 3072 // width : 6 * 3072 // width].mean()
    np.testing.assert_allclose(shown.pixel(5.5, 8), ramp("light", column), atol=3)


def test_no_pass_yet_and_html_names(show):
    assert (
        show("activations", "empty").root.inner_text().strip()
        == "Run one pass over the calibration data to see zeros per channel."
    )
    shown = show("activations", "hostile", width=700)
    assert shown.root.locator(".row .name").nth(1).get_attribute("title") == HOSTILE
    shown.root.locator(".row").nth(1).click()
    assert shown.root.locator(".profile h2").inner_text() == HOSTILE
    assert shown.wait_for("select") == {"layer": HOSTILE}
    assert shown.root.locator("img").count() == 0

"""The sensitivity heatmap in a real browser."""

import re

import numpy as np
import pytest
from harness_panel import HOSTILE, LEVELS, panel_browser, panel_server, show_fixture, sweep_data  # noqa: F401

from explorer.theme import CONFIG, DAMAGE

pytestmark = pytest.mark.browser


def cell(shown, row, col):
    return shown.root.locator(f".cell[data-row='{row}'][data-col='{col}']")


def fill_of(shown, row, col):
    text = cell(shown, row, col).locator("rect").first.get_attribute("fill")
    return np.array([int(part) for part in re.findall(r"\d+", text)])


def damage(scheme, value):
    at = min((min(1, max(0, -value) / 40)) ** 0.5, 0.9999) * 9
    stops = [np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) for color in DAMAGE[scheme]]
    return stops[int(at)] + (at - int(at)) * (stops[int(at) + 1] - stops[int(at)])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colour_is_the_root_of_the_drop_and_preview_is_half_way_to_the_page(show, scheme):
    shown = show("sweep", width=912, scheme=scheme)
    for row, col in ((0, 0), (1, 6), (3, 9), (3, 0)):
        value = sweep_data()["rows"][row]["cells"][col]["value"]
        np.testing.assert_allclose(fill_of(shown, row, col), damage(scheme, value), atol=1.5)
    page = CONFIG[f"theme.{scheme}.backgroundColor"]
    background = np.array([int(page[i : i + 2], 16) for i in (1, 3, 5)])
    np.testing.assert_allclose(fill_of(shown, 9, 6), 0.45 * damage(scheme, -4) + 0.55 * background, atol=2)


def test_figures_are_printed_with_a_minus_sign_and_only_where_they_fit(show):
    shown = show("sweep", width=912)
    printed = [cell(shown, 3, col).locator("text").first.text_content() for col in (0, 1, 3, 7, 8)]
    assert printed == ["+0.1", "0.0", "−0.2", "−14", "−41"]
    assert cell(shown, 3, 8).locator("text.half").text_content() == "±2.2"  # how sure, under each figure
    narrow = show("sweep", width=400)
    assert cell(narrow, 3, 0).locator("text").count() == 0


def test_states_differ_in_form_not_only_colour(show):
    shown = show("sweep", width=912)
    assert cell(shown, 7, 3).locator(".fold").count() == 1
    assert cell(shown, 7, 3).locator("text").first.evaluate("e => getComputedStyle(e).fontStyle") == "italic"
    assert cell(shown, 7, 2).locator(".running-mark").count() == 1
    assert cell(shown, 0, 0).locator(".fold, .running-mark").count() == 0
    assert cell(shown, 3, 4).locator(".ring").count() == 1  # the plan holds 48 %
    assert shown.root.locator(".body .ring").count() == 2  # none for a layer kept dense


def test_unmeasured_and_impossible_cells(show):
    shown = show("sweep", "states", width=912)
    assert cell(shown, 1, 0).get_attribute("aria-label") == "layers.0.conv1 at 10 %, not measured"
    assert cell(shown, 2, 3).get_attribute("aria-label").endswith("2:4 has one level only")
    cell(shown, 2, 3).click()
    cell(shown, 2, 4).click()
    assert shown.wait_for("set") == {"layer": "layers.0.conv2", "level": 0.5}
    assert len(shown.events("set")) == 1  # the impossible one sent nothing
    # the line of tolerance is broken at the row without figures
    assert shown.root.locator(".tolerance").first.get_attribute("d").count("M") == 2


def test_a_bracketed_cell_stands_in_brackets_and_says_why(show):
    shown = show("sweep", "states", width=912)
    assert cell(shown, 3, 1).locator(".bracket").count() == 1
    assert shown.root.locator(".body .bracket").count() == 1
    assert cell(shown, 3, 1).get_attribute("aria-label").endswith("; between two settled levels")
    assert "between settled levels" in shown.root.locator(".legend").inner_text()


def test_another_metric_has_its_own_unit_scale_and_no_tolerance(show):
    shown = show("sweep", "kl", width=912)
    assert cell(shown, 0, 0).get_attribute("aria-label").startswith("stem.0 at 10 %: 0.023 ± 0.0051 nats")
    np.testing.assert_allclose(fill_of(shown, 0, 1), damage("light", -40), atol=1.5)  # its scale ends at 2 nats
    assert shown.root.locator(".tolerance").first.get_attribute("d") == ""
    assert "tolerance" not in shown.root.locator(".legend").inner_text()


def test_line_of_tolerance_runs_before_the_first_cell_above_it(show):
    shown = show("sweep", width=912)
    points = re.findall(r"[ML]([\d.]+) (-?[\d.]+)", shown.root.locator(".tolerance").last.get_attribute("d"))
    left = [float(cell(shown, 0, col).get_attribute("transform").split("(")[1].split()[0]) for col in range(10)]
    for row, data in enumerate(sweep_data()["rows"]):
        first = next(i for i, c in enumerate(data["cells"]) if c["value"] < -1)
        assert float(points[2 * row][0]) == pytest.approx(left[first] - 0.5), data["name"]


def test_click_sets_the_layer(show):
    shown = show("sweep", width=912)
    cell(shown, 4, 2).click()
    assert shown.wait_for("set") == {"layer": "layers.1.conv2", "level": 0.3}


def test_one_tab_stop_arrows_enter_and_space(show):
    shown = show("sweep", width=912)
    assert shown.root.locator(".body [tabindex='0']").count() == 1
    cell(shown, 0, 0).focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "Enter"):
        shown.page.keyboard.press(key)
    assert shown.wait_for("set") == {"layer": "layers.0.conv1", "level": 0.3}
    assert (
        shown.root.locator(".body [tabindex='0']")
        .get_attribute("aria-label")
        .startswith("layers.0.conv1 at 30 %: −0.35 ± 0.4 pt")
    )
    shown.page.keyboard.press("Space")
    assert shown.wait_for("curves") == {
        "chosen": ["layers.1.conv1", "layers.1.down.0", "layers.2.conv1", "layers.0.conv1"]
    }
    assert shown.root.locator(".body [tabindex='0']").evaluate("e => e === e.getRootNode().activeElement")


def test_name_toggles_its_curve_and_gets_the_next_marker(show):
    shown = show("sweep", width=912)
    shown.root.locator(".name").nth(3).click()
    assert shown.wait_for("curves") == {"chosen": ["layers.1.down.0", "layers.2.conv1"]}
    assert shown.root.locator(".name").nth(5).get_attribute("aria-label") == "layers.1.down.0, curve shown as circle"
    shown.root.locator(".name").nth(9).click()
    shown.page.wait_for_function("document.body.innerText.includes('\"fc\"')")
    assert shown.events("curves")[-1] == {"chosen": ["layers.1.down.0", "layers.2.conv1", "fc"]}
    assert shown.root.locator(".name").nth(9).get_attribute("aria-label") == "fc, curve shown as triangle"


def test_tooltip_says_how_sure_the_figure_is(show):
    shown = show("sweep", width=912)
    cell(shown, 9, 4).hover()
    assert shown.root.locator(".hover-tip").inner_text() == "fc at 50 %: −1.80 ± 0.6 pt\nn 64 of 2,000, preview"


def test_largest_within_tolerance(show):
    shown = show("sweep", width=912)
    assert "Largest within 1.0 pt" in shown.root.locator(".head").text_content()
    limits = [shown.root.locator(".limit").nth(i).locator("text").all_text_contents() for i in (0, 1, 9)]
    assert limits == [["16 %", "<1 % of params"], ["46 %", "6 % of params"], ["~46 %", "11 % of params"]]


def test_many_rows_are_compact_under_a_sticky_header(show):
    shown = show("sweep", "many", width=700)
    assert shown.root.locator(".name").count() == 150
    cell(shown, 0, 0).focus()
    shown.page.keyboard.press("Control+End")
    last = cell(shown, 149, len(LEVELS) - 1)
    area, box = shown.root.locator(".scroll").bounding_box(), last.bounding_box()
    assert box["y"] + box["height"] <= area["y"] + area["height"] + 1
    assert shown.root.locator(".header").bounding_box()["y"] == pytest.approx(area["y"], abs=1)
    shown.page.keyboard.press("Enter")
    assert shown.wait_for("set") == {"layer": "encoder.layers.49.fc2", "level": 0.95}


def test_names_and_reasons_are_text(show):
    shown = show("sweep", "hostile", width=912)
    assert shown.root.locator(".name").nth(2).get_attribute("aria-label") == HOSTILE
    cell(shown, 2, 0).hover()
    assert HOSTILE in shown.root.locator(".hover-tip").inner_text()
    assert shown.root.locator("img, b:has-text('bold') b").count() == 0
    assert not shown.page.evaluate("window.hacked")


@pytest.mark.parametrize("width", [380, 600, 912])
def test_sweep_fits_its_column(show, width):
    shown = show("sweep", width=width)
    assert shown.root.locator(".scroll").evaluate("e => e.scrollWidth <= e.clientWidth + 1")

"""The headline in a real browser on a real Streamlit server."""

from collections.abc import Iterator
from typing import Any

import harness_mixer as harness
import pytest

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with harness.serve() as url:
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with harness.browser() as browser:
        yield browser


@pytest.fixture
def open_page(address: str, chromium: Any) -> Iterator[Any]:
    contexts = []

    def open_(query: str, width: int = 1440) -> Any:
        clipboard = ["clipboard-read", "clipboard-write"]
        context = chromium.new_context(viewport={"width": width, "height": 900}, permissions=clipboard)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{address}/?log=1&{query}")
        page.locator(".head .metric").first.wait_for(timeout=30000)
        page.locator("#log").wait_for(state="attached")
        return page

    yield open_
    for context in contexts:
        context.close()


def commands(page: Any, count: int = 1) -> list[str]:
    for _ in range(50):
        if len(harness.events(page, "headline")) >= count:
            break
        page.wait_for_timeout(100)
    return [command["kind"] for command in harness.events(page, "headline")]


def places(page: Any) -> list[tuple[float, float]]:
    boxes = [part.bounding_box() for part in page.locator(".metric, .dn, .ci, .acts").all()]
    return [(box["x"], box["width"]) for box in boxes]


def test_full_form_shows_the_four_figures(open_page: Any) -> None:
    page = open_page("headline=full")
    assert page.locator(".head").bounding_box()["height"] == pytest.approx(87, abs=1)
    accuracy = page.get_by_role("group", name="Accuracy")
    for text in ("88.0", "−3.1 pt", "± 1.1", "dense 91.1", "n 2,000 · 95 %"):
        assert accuracy.get_by_text(text).is_visible()
    assert accuracy.locator("svg .interval").count() == accuracy.locator("svg .limit").count() == 1
    assert page.get_by_role("group", name="Latency").locator("svg .zone").count() == 1
    assert page.get_by_role("button", name="Redo").is_disabled()


def test_buttons_send_commands_and_the_link_is_copied(open_page: Any) -> None:
    page = open_page("headline=full")
    page.get_by_role("button", name="Undo").click()
    assert commands(page) == ["undo"]
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Link copied").wait_for()
    assert page.evaluate("() => navigator.clipboard.readText()") == page.url
    assert commands(page, 2) == ["undo", "copy_link"]
    page.get_by_text("Link copied").wait_for(state="hidden")
    page.get_by_role("button", name="Measure", exact=True).click()
    assert commands(page, 3)[-1] == "latency"


def test_nothing_jumps_while_measuring(open_page: Any) -> None:
    page = open_page("headline=full")
    before = places(page)
    page.locator(".head").evaluate("head => { head.mine = true }")
    page.get_by_role("button", name="Copy link").focus()
    page.evaluate("() => [...document.querySelectorAll('button')].find((b) => b.innerText === 'measure').click()")
    page.locator(".head .spin").wait_for()
    assert page.get_by_role("group", name="Accuracy").get_by_text("87.5").is_visible()
    assert places(page) == before
    assert page.locator(".head").evaluate("head => head.mine")
    assert page.locator(".head [data-do=link]").evaluate("button => button === button.getRootNode().activeElement")
    assert page.locator(".head [aria-live=polite]").inner_text() == "Accuracy 87.5 percent"


def test_slim_form_is_one_line(open_page: Any) -> None:
    page = open_page("headline=slim")
    assert page.locator(".head").bounding_box()["height"] == pytest.approx(37, abs=1)
    assert page.get_by_text("−3.1 ± 1.1 pt").is_visible()
    assert page.get_by_text("Present plan, all measured").is_visible()
    assert page.locator(".metric svg.glyph").count() == 0


@pytest.mark.parametrize("form", ["full", "slim"])
def test_narrow_pages_have_two_rows_of_two(open_page: Any, form: str) -> None:
    page = open_page(f"headline={form}", width=900)
    boxes = [metric.bounding_box() for metric in page.locator(".metric").all()]
    assert boxes[0]["y"] == boxes[1]["y"] < boxes[2]["y"] == boxes[3]["y"]
    assert boxes[0]["x"] == boxes[2]["x"]
    assert boxes[1]["x"] == boxes[3]["x"]

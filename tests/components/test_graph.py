"""Netron on the app's own origin: the routes, and the graph in a real browser."""

import asyncio
import re

import httpx
import pytest
from harness_panel import GRAPH_NODES, HOSTILE, graph_file, panel_browser, panel_server, show_fixture  # noqa: F401
from starlette.applications import Starlette

from explorer import netron


class Client:
    """Asks the routes without a server (starlette's TestClient warns about httpx in 1.10)."""

    def get(self, path: str, method: str = "GET") -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(Starlette(routes=netron.ROUTES))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path)

        return asyncio.run(ask())


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def token():
    token = netron.publish(graph_file())
    yield token
    netron.revoke(token)


# ---- routes


def test_page_is_disarmed(client, token):
    answer = client.get(netron.address(token))
    assert answer.status_code == 200
    assert '<meta name="version" content="0.0.0">' in answer.text  # else telemetry
    assert 'name="date"' not in answer.text  # else "please update" after 180 days
    assert f'<meta name="file" content="data/{netron.FILE_NAME}">' in answer.text
    cookie = answer.headers["set-cookie"].lower()  # else ipinfo.io and a cookie box
    assert cookie.startswith("consent=1;")
    assert f"path=/netron/{token.lower()}/" in cookie
    assert "samesite=strict" in cookie
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["frame-ancestors"] == "'self'"


def test_the_script_cannot_leave_the_page(client, token):
    script = client.get(f"/netron/{token}/browser.js").text
    assert "openURL(url) {" in script
    assert not re.search(r"window\.location\s*=[^=]", script)


def test_only_the_file_and_netrons_own_parts_are_served(client, token):
    data = client.get(f"/netron/{token}/data/{netron.FILE_NAME}")
    assert data.content == graph_file().read_bytes()
    assert data.headers["x-content-type-options"] == "nosniff"
    assert client.get(f"/netron/{token}/view.js").headers["content-type"].startswith("text/javascript")
    own = ("server.py", "__init__.py", "data/other.onnx", "data/", "a/b.js", ".js", "nothing.js", graph_file().name)
    for path in (*own, "data/../server.py", "%2e%2e/%2e%2e/etc/passwd", "..%2fserver.py", "/etc/passwd"):
        assert client.get(f"/netron/{token}/{path}").status_code == 404, path
    assert client.get(netron.address(token), "POST").status_code == 405


@pytest.mark.parametrize("rest", ["index.html", "", "view.js", "browser.js", f"data/{netron.FILE_NAME}"])
def test_unknown_and_revoked_tokens_give_404(client, rest):
    token = netron.publish(graph_file())
    assert client.get(f"/netron/{token}/{rest}").status_code == 200
    netron.revoke(token)
    netron.revoke(token)  # twice is no error
    assert client.get(f"/netron/{token}/{rest}").status_code == 404
    assert client.get(f"/netron/guess/{rest}").status_code == 404


def test_each_publication_has_its_own_long_token():
    tokens = {netron.publish(graph_file()) for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 32
    for token in tokens:
        netron.revoke(token)


def test_a_file_that_is_gone_is_404_and_a_missing_one_is_not_published(client, tmp_path):
    file = tmp_path / "a.onnx"
    file.write_bytes(b"x")
    token = netron.publish(file)
    file.unlink()
    assert client.get(f"/netron/{token}/data/{netron.FILE_NAME}").status_code == 404
    with pytest.raises(FileNotFoundError):
        netron.publish(file)


# ---- browser


def drawn(show, **options):
    shown = show("graph", width=700, **options)
    frame = shown.page.frame_locator(".graph iframe")
    shown.page.locator(".graph.ready").wait_for(timeout=60_000)
    return shown, frame


def fill(frame, name, part="path"):
    style = frame.locator(f'[id="node-name-{name}"] .node-item-type {part}').first.get_attribute("style")
    return re.search(r"fill: ([^;]+)", style)[1]


def edge(shown):
    """Stroke of an edge: one of Netron's own rules, which differs between light and dark."""
    script = "frame => getComputedStyle(frame.contentDocument.querySelector('.edge-path')).stroke"
    return shown.root.locator("iframe").evaluate(script)


@pytest.mark.browser
def test_graph_appears_without_asking_and_without_foreign_requests(show):
    shown, frame = drawn(show)
    assert frame.locator("g.node").count() >= 4
    assert frame.locator("#message-text").inner_text() in ("", "Open Model…")
    assert "Please update" not in frame.locator("body").inner_text()
    assert sum("/netron/" in url for url in shown.requests) > 5
    assert shown.foreign == []  # `show` asserts it again at the end, with dialogs and page errors


@pytest.mark.browser
def test_click_selects_and_outlines_the_node(show):
    shown, frame = drawn(show)
    frame.locator(f'[id="node-name-{GRAPH_NODES[0]}"]').click()
    assert shown.wait_for("node") == {"name": GRAPH_NODES[0]}
    border = frame.locator(f'[id="node-name-{GRAPH_NODES[0]}"] .node-border')
    shown.page.wait_for_timeout(300)
    assert "stroke-width: 3px" in border.get_attribute("style")
    assert "stroke-width" not in (
        frame.locator(f'[id="node-name-{GRAPH_NODES[3]}"] .node-border').get_attribute("style") or ""
    )


@pytest.mark.browser
def test_number_is_a_place_on_the_themes_scale(show):
    for scheme, expected in (("light", "rgb(106, 138, 234)"), ("dark", "rgb(68, 96, 198)")):
        _, frame = drawn(show, scheme=scheme)
        assert fill(frame, GRAPH_NODES[3]) == expected


@pytest.mark.browser
def test_recolour_does_not_reload_the_frame(show):
    shown, frame = drawn(show)
    assert fill(frame, GRAPH_NODES[0]) == "rgb(203, 216, 249)"
    assert fill(frame, GRAPH_NODES[0], "text") == "rgb(20, 23, 28)"
    assert fill(frame, GRAPH_NODES[1]) == "rgb(236, 239, 243)"  # a node without a colour is plain
    before = len(shown.requests)
    shown.page.get_by_text("recolour").click()
    shown.page.wait_for_timeout(1500)
    assert fill(frame, GRAPH_NODES[0]) == "rgb(19, 36, 110)"
    assert fill(frame, GRAPH_NODES[0], "text") == "rgb(255, 255, 255)"
    assert not [url for url in shown.requests[before:] if "/netron/" in url]


@pytest.mark.browser
@pytest.mark.parametrize(("theme", "scheme", "page", "stroke"), [
    ("Dark", "light", "rgb(14, 16, 20)", "rgb(136, 136, 136)"),
    ("Light", "dark", "rgb(255, 255, 255)", "rgb(0, 0, 0)"),
    ("", "dark", "rgb(14, 16, 20)", "rgb(136, 136, 136)"),
])  # fmt: skip
def test_graph_follows_streamlits_theme_even_against_the_system(show, theme, scheme, page, stroke):
    shown, _ = drawn(show, scheme=scheme, theme=theme)
    script = "frame => getComputedStyle(frame.contentDocument.getElementById('target')).backgroundColor"
    assert shown.root.locator("iframe").evaluate(script) == page
    assert edge(shown) == stroke


@pytest.mark.browser
def test_change_of_theme_repaints_without_reload(show):
    shown, frame = drawn(show, scheme="dark")
    before = len(shown.requests)
    shown.page.emulate_media(color_scheme="light")
    frame.locator('html[data-theme="false #ffffff"]').wait_for()
    assert fill(frame, GRAPH_NODES[1]) == "rgb(236, 239, 243)"
    assert edge(shown) == "rgb(0, 0, 0)"
    assert not [url for url in shown.requests[before:] if "/netron/" in url]


@pytest.mark.browser
def test_names_in_the_graph_are_text(show):
    shown, frame = drawn(show)
    assert HOSTILE in shown.root.locator(".captions").inner_text()
    frame.locator("g.node").nth(2).locator("text").first.click()
    shown.page.wait_for_timeout(1500)
    assert frame.locator("img").count() == 0
    assert not shown.page.evaluate("window.hacked")


@pytest.mark.browser
def test_revoked_graph_says_so(show):
    shown, _ = drawn(show)
    source = shown.root.locator("iframe").evaluate("frame => frame.src")
    shown.page.get_by_role("button", name="revoke").click()
    shown.page.wait_for_timeout(1000)
    assert shown.page.request.get(source).status == 404

"""The one page that a visitor without the access token sees: a field for it, without scripts."""

from starlette.responses import HTMLResponse

from explorer.theme import FONT

_STYLE = f"""
:root {{ color-scheme: light dark }}
:root {{ --bg: #ffffff; --text: #14171c; --line: #7f8896; --accent: #2f55d4; --warn: #a34700 }}
@media (prefers-color-scheme: dark) {{
  :root {{ --bg: #0e1014; --text: #e8eaee; --line: #788292; --accent: #4666ea; --warn: #ffab5e }}
}}
body {{ margin: 0; background: var(--bg); color: var(--text); font: 14px/1.5 {FONT} }}
form {{ max-width: 360px; margin: 18vh auto 0; padding: 0 24px }}
h1 {{ font-size: 16px; font-weight: 600; margin: 0 0 16px }}
label {{ display: block; font-size: 12px; margin-bottom: 4px }}
.row {{ display: flex; gap: 8px }}
input, button {{ height: 32px; font: inherit; border-radius: 6px; border: 1px solid var(--line) }}
input {{ flex: 1; min-width: 0; padding: 0 10px; background: var(--bg); color: inherit }}
button {{ padding: 0 14px; border-color: var(--accent); background: var(--accent); color: #fff; font-weight: 500 }}
:focus-visible {{ outline: 2px solid var(--accent); outline-offset: 2px }}
.wrong {{ color: var(--warn) }}
"""
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Pruning Explorer</title>
<style>{style}</style></head><body><form method="post" action="/"><h1>Pruning Explorer</h1>
<label for="token">Access token of this server</label>
<div class="row"><input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Open</button></div>{note}</form></body></html>"""
_WRONG = '<p class="wrong" role="alert">That is not the token. Ask whoever runs this server.</p>'
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
}


def page(wrong: bool) -> HTMLResponse:
    """Return the page, with a sentence after a wrong token."""
    return HTMLResponse(
        _PAGE.format(style=_STYLE, note=_WRONG if wrong else ""), 403 if wrong else 401, headers=HEADERS
    )

"""Components v2 without a build step: each is a folder of .js files and one .css file, declared here once."""

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


@cache
def declare(name: str) -> Any:
    """Return the mount function of the component in the folder `name`.

    Shared text comes first, then the folder's .js files in order of name; `<name>.js`, which exports, comes last.
    """
    css = (HERE / "common.css").read_text("utf-8") + (HERE / name / f"{name}.css").read_text("utf-8")
    main = HERE / name / f"{name}.js"
    parts = sorted(path for path in (HERE / name).glob("*.js") if path != main)
    js = "\n".join(path.read_text("utf-8") for path in [HERE / "common.js", *parts, main])
    return st.components.v2.component(f"pruning_explorer_{name}", css=css, js=js)

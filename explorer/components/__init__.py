"""Components v2 without a build step: each is a folder of one .js and one .css file, declared here once."""

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


@cache
def declare(name: str) -> Any:
    """Return the mount function of the component in the folder `name`; shared text comes first."""
    css = (HERE / "common.css").read_text("utf-8") + (HERE / name / f"{name}.css").read_text("utf-8")
    js = (HERE / "common.js").read_text("utf-8") + (HERE / name / f"{name}.js").read_text("utf-8")
    return st.components.v2.component(f"pruning_explorer_{name}", css=css, js=js)

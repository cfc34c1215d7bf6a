"""The dialog "How the data are prepared": every option of data that is declared, and what comes of it."""

import streamlit as st

from explorer import resources, state
from explorer.figures import escaping
from pruning_core.loaders.options import join, split
from pruning_core.loaders.preparing import SETTINGS, PreparingSetting
from pruning_core.loaders.presets import PRESETS

UNSAID = "As the data or the model say"
LABELS = {
    "preset": "Scale, mean and deviation of",
    "scale": "Scale",
    "mean": "Mean",
    "std": "Deviation",
    "resize": "Size of pictures",
    "channels": "Order of colours",
    "layout": "Layout of pictures",
    "task": "Outputs are",
}


def button() -> None:
    """Offer the dialog, where there is something to prepare."""
    app = state.current()
    if app.model and app.data and not resources.dataset(app.data, app.model).validation.tokens:
        st.button("Prepare differently", key="open_preparing", type="tertiary", on_click=_open)


def dialog() -> None:
    """Draw the dialog while it is open."""
    if state.current().view.get("preparing") and state.current().data:
        _dialog()


def _open() -> None:
    state.view(preparing=True)


def _close() -> None:
    state.view(preparing=False)


@st.dialog("How the data are prepared", on_dismiss=_close)
def _dialog() -> None:
    app = state.current()
    data = resources.dataset(app.data or "", app.model or "").validation
    if app.notice:
        st.warning(escaping.markdown(app.notice))
    st.markdown(f"Each example is stored as {_shape(data.inputs.shape[1:])} and read as")
    st.code(str(data.preprocessing), language=None, wrap_lines=True)
    _, given = split(app.data or "")
    for setting in SETTINGS.values():
        _widget(setting, given.get(setting.name, ""), app.push)


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "one number"


def _widget(setting: PreparingSetting, text: str, push: int) -> None:
    """Draw one option; a refused choice goes back to what holds, since the key changes with every push."""
    key = f"preparing:{push}:{setting.name}"
    more = {"key": key, "help": setting.help, "on_change": _take, "args": (setting.name, key)}
    label = LABELS.get(setting.name, setting.name.replace("_", " ").capitalize())
    if setting.choices:
        choices = ["", *(choice for choice in setting.choices if choice != setting.default)]
        shown = text if text in choices else ""
        st.selectbox(label, choices, index=choices.index(shown), format_func=lambda c: _named(setting, c), **more)
    else:
        numbers = setting.default if isinstance(setting.default, tuple) else (setting.default,)
        st.text_input(label, text, placeholder=", ".join(f"{number:g}" for number in numbers), **more)


def _named(setting: PreparingSetting, choice: str) -> str:
    if choice in PRESETS and setting.name == "preset":
        return PRESETS[choice].label
    if not choice:
        return UNSAID if setting.default in (None, "auto") else str(setting.default)
    return choice.replace("_", " ")


def _take(name: str, key: str) -> None:
    """Read the data with the option as it is now; what was pruned stays."""
    use({name: str(state.widget(key) or "").replace(" ", "")})


def use(changes: dict[str, str]) -> None:
    """Read the present data with other options."""
    app = state.current()
    name, options = split(app.data or "")
    state.open_model(app.model, join(name, options | changes))

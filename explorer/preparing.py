"""The dialog "How the data are prepared": every option of data that is declared, and what comes of it."""

import streamlit as st

from explorer import resources, state
from explorer.figures import escaping
from pruning_core.loaders.options import split, with_changes
from pruning_core.loaders.preparing import SETTINGS, PreparingSetting
from pruning_core.loaders.presets import PRESETS
from pruning_core.preprocessing import Preprocessing

UNSAID = "As the data or the model say"
NUMBERS = ("scale", "mean", "std")
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
CHOICES = {
    "model": "The model's own",
    "none": "As stored",
    "crop": "Shorter side, then the centre",
    "stretch": "Stretched",
    "rgb": "As stored",
    "bgr": "Reversed (BGR)",
    "regression": "numbers",
    "next_token": "the token after each",
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


def menu_key() -> str:
    """Return the key of the menu that holds the button: another one after each click, so that the menu closes."""
    return f"data_menu:{state.current().view.get('prepared', 0)}"


def _open() -> None:
    state.view(preparing=True, prepared=state.current().view.get("prepared", 0) + 1)


def _close() -> None:
    state.view(preparing=False)


@st.dialog("How the data are prepared", on_dismiss=_close, width="medium")
def _dialog() -> None:
    app = state.current()
    data = resources.dataset(app.data or "", app.model or "").validation
    if app.notice:
        st.warning(escaping.markdown(app.notice))
    st.markdown(f"Each example is stored as {_shape(data.inputs.shape[1:])} and read as")
    st.code(str(data.preprocessing), language=None, wrap_lines=True)
    _, given = split(app.data or "")
    left, right = st.columns(2)
    shown = given | present(data.preprocessing)
    for i, setting in enumerate(SETTINGS.values()):
        with (left, right)[i % 2]:
            _widget(setting, shown.get(setting.name, ""), app.push)


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
        st.text_input(label, text, placeholder=UNSAID, **more)


def _named(setting: PreparingSetting, choice: str) -> str:
    if choice in PRESETS and setting.name == "preset":
        return PRESETS[choice].label
    if not choice:
        return UNSAID if setting.default in (None, "auto") else CHOICES.get(setting.default, setting.default)
    return CHOICES.get(choice, choice.replace("_", " "))


def present(preprocessing: Preprocessing) -> dict[str, str]:
    """Return scale, mean and deviation as the options write them."""
    numbers = {name: getattr(preprocessing, name) for name in NUMBERS}
    return {
        name: ",".join(f"{number:.9g}" for number in (value if isinstance(value, tuple) else (value,)))
        for name, value in numbers.items()
    }


def changes(name: str, text: str, preprocessing: Preprocessing) -> dict[str, str]:
    """Return the options that follow from one that was set: a number keeps the two others, a preset sets all three."""
    text = text.replace(" ", "")
    if name == "preset" or (name in NUMBERS and not text):
        return {**dict.fromkeys(NUMBERS, ""), "preset": text if name == "preset" else ""}
    if name in NUMBERS:
        return present(preprocessing) | {name: text, "preset": ""}
    return {name: text}


def _take(name: str, key: str) -> None:
    """Read the present data with the option as it is now; what was pruned stays."""
    app = state.current()
    preprocessing = resources.dataset(app.data or "", app.model or "").validation.preprocessing
    asked = changes(name, str(state.widget(key) or ""), preprocessing)
    state.open_model(app.model, with_changes(app.data or "", asked))

"""The dialog of preparing: an option becomes part of the data's name, the plan stays, a refusal changes nothing."""

import pytest
from streamlit.testing.v1 import AppTest

from explorer import permission
from explorer.settings import SETTINGS
from explorer.state import ExplorerState
from pruning_core.errors import PruningError
from pruning_core.loaders.options import unprepared


def opened(data: str = "mnist") -> AppTest:
    def page(data: str) -> None:
        import streamlit as st

        from explorer import preparing, state

        if "opened" not in st.session_state:
            st.session_state["opened"] = True
            state.open_model("lenet_300_100", data)
            state.commit({"fc1": {"sparsity": 0.5}})
            state.view(preparing=True)
        preparing.dialog()

    return AppTest.from_function(page, kwargs={"data": data}, default_timeout=120).run()


def state_of(app: AppTest) -> ExplorerState:
    state: ExplorerState = app.session_state["explorer_state"]
    return state


def test_an_option_becomes_part_of_the_name_and_the_plan_stays() -> None:
    app = opened()
    assert "÷ 0.3081" in app.code[0].value
    app.selectbox[0].set_value("fashion_mnist").run()
    assert state_of(app).data == "mnist+preset@fashion_mnist"
    assert "÷ 0.353" in app.code[0].value
    assert state_of(app).plan.layer("fc1").sparsity == 0.5
    app.selectbox[0].set_value("").run()
    assert state_of(app).data == "mnist"
    assert not app.exception


def test_numbers_are_read_as_they_are_written() -> None:
    app = opened()
    mean = next(field for field in app.text_input if field.label == "Mean")
    mean.set_value("0.5").run()
    assert state_of(app).data == "mnist+mean@0.5"
    assert "− 0.5" in app.code[0].value


@pytest.mark.parametrize("text", ["half", "0.1, 0.2, 0.3"])
def test_what_cannot_be_is_said_and_changes_nothing(text: str) -> None:
    app = opened()
    next(field for field in app.text_input if field.label == "Mean").set_value(text).run()
    assert state_of(app).data == "mnist"
    assert app.warning[0].value
    assert next(field for field in app.text_input if field.label == "Mean").value == ""
    assert not app.exception


def test_preparing_is_no_other_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SETTINGS, "local", False)
    monkeypatch.setattr(SETTINGS, "data", "/class/digits.npz")
    permission.check(None, "/class/digits.npz+preset@mnist", "")
    with pytest.raises(PruningError, match="does not offer"):
        permission.check(None, "/class/digits.npz+y@/etc/passwd", "")
    assert unprepared("a.npz+y@b.npy+scale@2") == "a.npz+y@b.npy"

"""The dialog of preparing: an option becomes part of the data's name, the plan stays, a refusal changes nothing."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from explorer import jobs, permission
from explorer.preparing import changes
from explorer.settings import SETTINGS
from explorer.state import ExplorerState
from pruning_core.errors import PruningError
from pruning_core.loaders.options import unprepared
from pruning_core.preprocessing import Preprocessing


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


def field(app: AppTest, label: str) -> Any:
    return next(each for each in app.text_input if each.label == label)


def test_a_number_keeps_the_others_and_an_emptied_one_gives_them_back() -> None:
    app = opened()
    assert field(app, "Mean").value == "0.1307"
    field(app, "Mean").set_value("0.5").run()
    assert "0.5) ÷ 0.3081" in app.code[0].value
    assert state_of(app).data == "mnist+scale@0.00392156863+mean@0.5+std@0.3081"
    field(app, "Deviation").set_value("").run()
    assert state_of(app).data == "mnist"
    assert "0.1307) ÷ 0.3081" in app.code[0].value


def test_a_preset_takes_the_place_of_numbers() -> None:
    numbers = Preprocessing(0.5, (1.0, 2.0), (3.0,))
    assert changes("std", "4, 5", numbers) == {"scale": "0.5", "mean": "1,2", "std": "4,5", "preset": ""}
    assert changes("preset", "mnist", numbers) == {"scale": "", "mean": "", "std": "", "preset": "mnist"}
    assert changes("resize", "crop", numbers) == {"resize": "crop"}


@pytest.mark.parametrize("text", ["half", "0.1, 0.2, 0.3"])
def test_what_cannot_be_is_said_and_changes_nothing(text: str) -> None:
    app = opened()
    field(app, "Mean").set_value(text).run()
    assert state_of(app).data == "mnist"
    assert app.warning[0].value
    assert field(app, "Mean").value == "0.1307"
    assert not app.exception


def test_preparing_is_no_other_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SETTINGS, "local", False)
    monkeypatch.setattr(SETTINGS, "data", "/class/digits.npz")
    permission.check(None, "/class/digits.npz+preset@mnist", "")
    with pytest.raises(PruningError, match="does not offer"):
        permission.check(None, "/class/digits.npz+y@/etc/passwd", "")
    assert unprepared("a.npz+y@b.npy+scale@2") == "a.npz+y@b.npy"


def guessing(data: str, correct: int) -> AppTest:
    """A page whose dense model was right on so many of 100 examples."""

    def page(data: str, correct: int) -> None:
        import streamlit as st

        from explorer import near_chance, state
        from pruning_core.sensitivity.tally import Tally

        if "opened" not in st.session_state:
            st.session_state["opened"] = True
            state.open_model("lenet_300_100", data)
        near_chance.bar()
        near_chance.notice(Tally(n=100, correct=correct, labelled=True), 10)

    return AppTest.from_function(page, kwargs={"data": data, "correct": correct}, default_timeout=120).run()


def finished(app: AppTest) -> AppTest:
    while any("being tried" in each.value for each in app.markdown):
        app.run()
    return app


def test_a_model_that_guesses_is_told_how_else_to_prepare_and_one_click_does_it(digits: Path) -> None:
    app = finished(guessing(f"{digits}+scale@0.00001", correct=9))
    assert "Near chance" in app.markdown[0].value
    app.button(key="prepare_so").click().run()
    assert state_of(app).data == f"{digits}+preset@model"


def test_what_was_found_can_be_left(digits: Path) -> None:
    app = finished(guessing(f"{digits}+scale@0.00001", correct=9))
    app.button(key="leave_so").click().run()
    assert not app.markdown
    assert state_of(app).data == f"{digits}+scale@0.00001"


@pytest.mark.parametrize(("data", "correct"), [("mnist", 9), ("mnist", 90)])
def test_where_nothing_else_does_better_nothing_is_said(data: str, correct: int) -> None:
    app = finished(guessing(data, correct))
    assert not app.markdown
    assert not app.button


@pytest.fixture(autouse=True)
def no_job_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_jobs", {})

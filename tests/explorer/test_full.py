"""A page beyond those that the host allows says so, by its code."""

from streamlit.testing.v1 import AppTest


def _page() -> None:
    from explorer import empty

    empty.full()


def test_one_page_too_many_is_told() -> None:
    told = AppTest.from_function(_page).run().warning[0].value
    assert told.startswith("E624: ")
    assert "as many as sessions allows" in told

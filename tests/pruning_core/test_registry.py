"""Registries, and the settings that members declare in their signatures."""

from typing import Annotated, Literal

import pytest

from pruning_core.errors import PlanError, UnknownName
from pruning_core.registry import Registry, Setting, SettingSpec, check_settings, settings_of, suggestion


def member(
    weight: int,
    *,
    n: Annotated[int, Setting(1, 8)] = 2,
    power: Annotated[float, Setting(0.5, 2, step=0.5)] = 1.0,
    side: Literal["left", "right"] = "left",
    free: int = 0,
) -> None:
    """A member with every kind of setting."""


SPECS = settings_of(member)


def test_a_registry_keeps_members_in_the_order_of_registration() -> None:
    registry: Registry[int] = Registry("thing")
    registry.add("b", 2)
    assert registry.add("a", 1) == 1
    assert list(registry) == ["b", "a"]
    assert (registry["a"], len(registry), "b" in registry, "c" in registry) == (1, 2, True, False)


def test_a_name_is_taken_once() -> None:
    registry: Registry[int] = Registry("thing")
    registry.add("a", 1)
    with pytest.raises(ValueError, match=r"^thing 'a' is registered twice$"):
        registry.add("a", 2)
    assert registry["a"] == 1


def test_an_unknown_name_is_answered_with_the_one_that_was_meant() -> None:
    registry: Registry[int] = Registry("criterion")
    registry.add("taylor", 1)
    registry.add("l1", 2)
    with pytest.raises(UnknownName, match=r"^unknown criterion 'tailor'; did you mean 'taylor'\?$"):
        registry["tailor"]
    with pytest.raises(UnknownName, match=r"^unknown criterion 'zzz'; known: l1, taylor$"):
        registry["zzz"]


def test_get_of_an_unknown_name_raises_as_well() -> None:
    with pytest.raises(UnknownName, match="known: none"):
        Registry("thing").get("a")


def test_a_suggestion_from_nothing_says_so() -> None:
    assert suggestion("a", []) == "known: none"


def test_settings_are_read_from_the_signature() -> None:
    expected = {
        "n": SettingSpec("n", int, 2, Setting(1, 8)),
        "power": SettingSpec("power", float, 1.0, Setting(0.5, 2, step=0.5)),
        "side": SettingSpec("side", str, "left", choices=("left", "right")),
        "free": SettingSpec("free", int, 0),
    }
    assert settings_of(member) == expected


@pytest.mark.parametrize(
    ("name", "given", "checked"),
    [
        ("n", 1, 1),
        ("n", 8, 8),
        ("n", 3.0, 3),
        ("power", 2, 2.0),
        ("side", "right", "right"),
        ("free", -(10**400), -(10**400)),
    ],
)
def test_values_within_bounds_come_back_in_their_kind(name: str, given: object, checked: object) -> None:
    value = SPECS[name].check(given)
    assert value == checked
    assert type(value) is SPECS[name].kind


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("n", 0, "setting 'n' is 0; it takes a whole number from 1 to 8"),
        ("n", 9, "setting 'n' is 9; it takes a whole number from 1 to 8"),
        ("n", 2.5, "setting 'n' is 2.5; it takes a whole number from 1 to 8"),
        ("n", True, "setting 'n' is True; it takes a whole number from 1 to 8"),
        ("n", "2", "setting 'n' is '2'; it takes a whole number from 1 to 8"),
        ("n", float("nan"), "setting 'n' is nan; it takes a whole number from 1 to 8"),
        ("n", float("inf"), "setting 'n' is inf; it takes a whole number from 1 to 8"),
        ("n", None, "setting 'n' is None; it takes a whole number from 1 to 8"),
        ("power", float("nan"), "setting 'power' is nan; it takes a number from 0.5 to 2"),
        ("power", 2.1, "setting 'power' is 2.1; it takes a number from 0.5 to 2"),
        ("side", "rihgt", "setting 'side' is 'rihgt'; did you mean 'right'?"),
        ("side", 3, "setting 'side' is 3; known: left, right"),
        ("free", 1.5, "setting 'free' is 1.5; it takes a whole number"),
    ],
)
def test_other_values_are_refused_in_one_sentence(name: str, given: object, message: str) -> None:
    with pytest.raises(PlanError) as refusal:
        SPECS[name].check(given)
    assert str(refusal.value) == message


def test_check_settings_returns_only_what_was_given() -> None:
    assert check_settings(SPECS, {"n": 4.0}) == {"n": 4}
    assert check_settings(SPECS, {}) == {}


def test_check_settings_refuses_an_undeclared_name_and_a_wrong_value() -> None:
    with pytest.raises(UnknownName, match=r"^unknown setting 'powr'; did you mean 'power'\?$"):
        check_settings(SPECS, {"powr": 1})
    with pytest.raises(PlanError, match=r"^setting 'n' is 99;"):
        check_settings(SPECS, {"n": 99})

"""Settings: one annotation declares, validates and describes a setting."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt, MultipleOf
from hypothesis import given, settings
from hypothesis import strategies as st

from sslcore.contract.settings import REQUIRED, Setting, describe, docstring_arguments, settings_of
from sslcore.recipe.toml import parse_assignment


class Example:
    """An example.

    Args:
        temperature: of the softmax,
            over two lines.
        widths: of the layers.
        mode: how.
    """

    def __init__(
        self,
        needed: int,
        *,
        temperature: Annotated[float, Gt(0)] = 0.5,
        widths: tuple[Annotated[int, Ge(1)], ...] = (2, 3),
        mode: Literal["a", "b"] = "a",
        rate: Annotated[float, Ge(0), Le(1)] | None = None,
        flag: bool = False,
    ) -> None:
        pass


FOUND = settings_of(Example)


def test_settings_are_the_constructors_parameters_with_their_defaults():
    assert {name: item.default for name, item in FOUND.items()} == {
        "needed": REQUIRED,
        "temperature": 0.5,
        "widths": (2, 3),
        "mode": "a",
        "rate": None,
        "flag": False,
    }


def test_help_comes_from_the_docstring():
    assert FOUND["temperature"].help == "of the softmax, over two lines."
    assert docstring_arguments("No arguments here.") == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("needed", "an integer"),
        ("temperature", "a number > 0"),
        ("widths", "a list, each an integer ≥ 1"),
        ("mode", "one of 'a', 'b'"),
        ("rate", "a number from 0 to 1 or none"),
        ("flag", "true or false"),
    ],
)
def test_a_type_is_described_in_words(name, words):
    assert FOUND[name].type == words
    assert describe(FOUND[name].annotation) == words


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("temperature", 1, 1.0),
        ("widths", [4, 5], (4, 5)),
        ("mode", "b", "b"),
        ("rate", None, None),
        ("flag", True, True),
    ],
)
def test_a_fitting_value_is_taken_as_the_annotated_type(name, value, result):
    taken = FOUND[name].validate(value)
    assert taken == result
    assert type(taken) is type(result)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "hot"),
        ("temperature", 0),
        ("temperature", -1.0),
        ("temperature", float("inf")),
        ("temperature", float("nan")),
        ("temperature", None),
        ("temperature", True),
        ("widths", [0]),
        ("widths", 3),
        ("mode", "c"),
        ("rate", 1.5),
        ("needed", 2.5),
        ("flag", "perhaps"),
    ],
)
def test_any_other_value_is_refused_with_what_is_expected(name, value):
    with pytest.raises(ValueError, match="expected") as refused:
        FOUND[name].validate(value)
    assert FOUND[name].type in str(refused.value)
    assert repr(value) in str(refused.value)


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None, max_examples=50)
def test_a_bound_holds_for_every_number(value):
    setting = Setting("x", Annotated[float, Gt(0)], 1.0)
    if value > 0:
        assert setting.validate(value) == value
    else:
        with pytest.raises(ValueError, match="a number > 0"):
            setting.validate(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("loss.x=0.2", 0.2),
        ("loss.x=3", 3),
        ("loss.x=none", "none"),
        ("loss.x=None", "none"),
        ("loss.x=true", True),
        ("loss.x=1,2", [1, 2]),
        ("loss.x=[1, 2]", [1, 2]),
        ("loss.x=text", "text"),
        ("loss.x=a/b=c", "a/b=c"),
        ("loss.x=", ""),
    ],
)
def test_an_assignment_is_read_as_toml_where_it_is_toml_else_as_text(text, value):
    assert parse_assignment(text) == ("loss", "x", value)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[int, Le(5), Ge(1)], "an integer from 1 to 5"),
        (Annotated[float, Interval(ge=0, le=1)], "a number from 0 to 1"),
        (Annotated[float, Gt(0), Le(1)], "a number > 0 ≤ 1"),
        (Annotated[float, Ge(0), Lt(1)], "a number ≥ 0 < 1"),
        (Annotated[int, Ge(0), Le(8), MultipleOf(2)], "an integer from 0 to 8 a multiple of 2"),
    ],
)
def test_two_included_ends_are_a_range_and_excluded_ones_keep_their_symbol(annotation, words):
    assert describe(annotation) == words


@pytest.mark.parametrize(
    ("annotation", "result"),
    [
        (str, "none"),
        (str | None, None),
        (Annotated[float, Gt(0)] | None, None),
        (Literal["none", "mean"], "none"),
        (Literal["mean", None], None),
        (Any, None),
    ],
)
def test_the_text_none_means_none_where_the_annotation_admits_it(annotation, result):
    assert Setting("x", annotation, "y").validate("none") == result


def test_the_text_none_is_no_number():
    with pytest.raises(ValueError, match="expected a number > 0, got 'none'"):
        FOUND["temperature"].validate("none")


@pytest.mark.parametrize(
    "text", ["9" * 5000, "[" * 5000, "1\ny=2"], ids=["digits", "brackets", "lines"]
)
def test_text_that_toml_cannot_hold_is_text(text):
    assert parse_assignment(f"loss.x={text}") == ("loss", "x", text)


@pytest.mark.parametrize("value", [10**400, 10**5000], ids=["hundreds", "thousands"])
def test_an_integer_that_no_float_can_hold_is_refused(value):
    with pytest.raises(ValueError, match="expected a number > 0"):
        FOUND["temperature"].validate(value)


@pytest.mark.parametrize("text", ["loss.x", "x=1", ".x=1", "loss.=1", "=1", ""])
def test_anything_else_is_no_assignment(text):
    with pytest.raises(ValueError, match=r"expected SECTION\.NAME=VALUE"):
        parse_assignment(text)

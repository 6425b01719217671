"""A record is mapped without loss, or does not fit."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snk.pipeline.framefile import loads
from snk.pipeline.mapping import Cast, Field, Mapper, Unfit, cast, compiled, dumps

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
numbers = st.integers() | st.decimals(allow_nan=False, allow_infinity=False)
jsons = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
CASTS: list[Cast] = ["text", "int", "number", "bool", "time"]


@given(jsons, st.sampled_from(CASTS))
def test_a_cast_gives_its_type_or_says_that_the_record_does_not_fit(value: Any, to: Cast) -> None:
    types: dict[Cast, tuple[type, ...]] = {
        "text": (str,),
        "int": (int,),
        "number": (int, Decimal),
        "bool": (bool,),
        "time": (str,),
    }
    try:
        made = cast("name", value, to)
    except Unfit as error:
        told = str(error)
    else:
        assert type(made) in types[to]
        return
    assert told.startswith("name: ")
    assert told.endswith(f" is no {to}")
    assert len(told) < 100


@given(numbers)
def test_numbers_are_cast_with_all_their_digits_and_back(number: Decimal | int) -> None:
    assert cast("n", number, "number") == number
    assert cast("n", cast("n", number, "text"), "number") == number


@given(st.integers(-(10**900), 10**900), st.integers(0, 20))
def test_whole_numbers_are_cast_however_they_are_written(number: int, zeros: int) -> None:
    assert cast("n", Decimal(f"{number}.{'0' * zeros}"), "int") == number
    assert cast("n", f" {number}.{'0' * zeros} ", "int") == number


@pytest.mark.parametrize(
    ("value", "to"),
    [
        (Decimal("1.5"), "int"),
        ("1e2000", "int"),
        ("1_000", "number"),
        ("\uff11", "number"),
        ("NaN", "number"),
        ("Infinity", "number"),
        ("", "number"),
        ([0, [1, 2], 1], "number"),
        (True, "number"),
        (True, "int"),
        ("yes", "bool"),
        (2, "bool"),
        (Decimal(1), "bool"),
        ({"a": 1}, "text"),
        ("2026-11-25T00:00:00", "time"),
        ("2026-11-25", "time"),
        ("2026-11-25T00:00:00.1234567Z", "time"),
        ("0001-01-01T00:00:00+05:00", "time"),
        (Decimal("1795564800.1234567"), "time"),
        (Decimal("1e30"), "time"),
        (10**400, "time"),
        (True, "time"),
        (float("nan"), "number"),
        (float("inf"), "time"),
    ],
)
def test_what_would_lose_something_or_be_a_guess_does_not_fit(value: Any, to: Cast) -> None:
    with pytest.raises(Unfit, match=f"is no {to}"):
        cast("n", value, to)


@pytest.mark.parametrize(
    ("value", "to", "expected"),
    [
        (True, "text", "true"),
        (Decimal("1.50"), "text", "1.50"),
        ("1e2", "int", 100),
        (100000.0, "int", 100000),
        (1.1, "number", Decimal("1.1")),
        ("FALSE", "bool", False),
        (1, "bool", True),
        ("2026-11-25T01:00:00.5000000+01:00", "time", "2026-11-25T00:00:00.500000Z"),
        (1795564800, "time", "2026-11-25T00:00:00Z"),
        (Decimal("1795564800.123456"), "time", "2026-11-25T00:00:00.123456Z"),
        (Decimal("-0.5"), "time", "1969-12-31T23:59:59.500000Z"),
    ],
)
def test_casts(value: Any, to: Cast, expected: Any) -> None:
    made = cast("n", value, to)
    assert (made, type(made)) == (expected, type(expected))


@given(st.datetimes(min_value=datetime.fromisoformat("0002-01-01"), timezones=st.just(UTC)))
def test_a_moment_is_the_same_moment_after_its_cast(at: datetime) -> None:
    assert datetime.fromisoformat(cast("t", at.isoformat(), "time")) == at
    seconds = Decimal(int(at.replace(microsecond=0).timestamp())) + Decimal(at.microsecond).scaleb(-6)
    assert datetime.fromisoformat(cast("t", seconds, "time")) == at


@given(jsons)
def test_what_is_written_is_one_line_that_means_the_same(value: Any) -> None:
    text = dumps(value)
    assert b"\n" not in text
    assert loads(text.decode("utf-8", "surrogatepass")) == value


@settings(max_examples=40)
@given(st.dictionaries(texts, jsons, max_size=4))
def test_no_mapping_leaves_records_as_they_are(record: dict[str, Any]) -> None:
    assert Mapper({}).map(record) is record
    assert not Mapper({})


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), jsons, max_size=3))
def test_a_field_is_what_is_at_its_path_and_nothing_there_does_not_fit(record: dict[str, Any]) -> None:
    mapper = Mapper({"x": Field("a"), "y": Field("b", optional=True), "z": Field(None, constant=[1])})
    if record.get("a") is None:
        with pytest.raises(Unfit, match="x: there is nothing at 'a'"):
            mapper.map(record)
    else:
        assert mapper.map(record) == {"x": record["a"], "y": record.get("b"), "z": [1]}


@pytest.mark.parametrize("path", ["merge(@, a)", "a[::0]", "sum(a)", "max_by(a, &b)", "join(',', a)", "keys(a)"])
def test_a_path_that_cannot_be_applied_does_not_fit_and_ends_nothing(path: str) -> None:
    record = {"a": [Decimal("1.5"), 2], "b": "text"}
    with pytest.raises(Unfit, match=r"x: .* cannot be applied"):
        Mapper({"x": Field(path)}).map(record)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@given(st.text("abc.[]*?@&|'`\"\\0123(){}:,-<>=! ", max_size=16))
def test_a_path_is_compiled_or_refused_with_a_valueerror(path: str) -> None:
    try:
        compiled(path)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most paths are refused


@given(st.dictionaries(st.sampled_from("ab"), jsons) | jsons)
def test_a_plain_path_is_looked_up_as_jmespath_does(record: Any) -> None:
    plain, general = compiled("a"), compiled("a | @")
    assert plain(record) == general(record)
    assert compiled("")(record) == record

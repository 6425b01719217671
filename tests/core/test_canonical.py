"""Records that mean the same have one form, and others have another."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snk.core.canonical import Digest, canonical, record_digest
from snk.pipeline.framefile import loads

decimals = st.decimals(allow_nan=False, allow_infinity=False) | st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(-(10**45), 10**45), st.integers(-60, 60)
)
texts = st.text(st.characters(codec=None, exclude_categories=()))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | decimals | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
moments = st.datetimes().filter(lambda at: 1 < at.year < 9999)
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(decimals, decimals)
def test_numbers_have_the_same_form_if_and_only_if_they_are_equal(one: Decimal, other: Decimal) -> None:
    assert (canonical(one) == canonical(other)) == (one == other)


@given(decimals, st.integers(0, 30))
def test_zeros_at_the_end_and_the_way_a_number_is_written_do_not_matter(number: Decimal, zeros: int) -> None:
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    assert canonical(Decimal((sign, digits + (0,) * zeros, exponent - zeros))) == canonical(number)
    assert loads(canonical(number)) == number


@given(st.integers(-(10**60), 10**60))
def test_whole_numbers_have_one_form_whatever_type_they_have(number: int) -> None:
    assert canonical(number) == canonical(Decimal(number)) == canonical(Decimal(f"{number}.00"))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_has_the_form_of_the_number_it_is_written_as(number: float) -> None:
    assert canonical(number) == canonical(Decimal(repr(number)))


@pytest.mark.parametrize(
    "text", ["1e1000001", "1e-1000001", f"1.{'1' * 250_000}2", "-0.0", "1E400", "9" * 4000, f"1{'0' * 4000}.0"]
)
def test_numbers_of_any_size_keep_all_their_digits(text: str) -> None:
    number = loads(text)
    assert loads(canonical(number)) == number


def test_numbers_that_differ_in_the_last_of_many_digits_differ() -> None:
    assert canonical(loads("1." + "1" * 250_000)) != canonical(loads("1." + "1" * 249_999 + "2"))


@given(moments, offsets, offsets, st.sampled_from("Tt "), st.integers(0, 3))
def test_a_moment_has_one_form_in_all_time_zones(
    at: datetime, one: timezone, other: timezone, separator: str, zeros: int
) -> None:
    here, there = at.replace(tzinfo=UTC).astimezone(one), at.replace(tzinfo=UTC).astimezone(other)
    text = here.isoformat(sep=separator)
    assert canonical(text) == canonical(there.isoformat())
    if at.microsecond:
        longer = here.replace(tzinfo=None).isoformat(timespec="microseconds") + "0" * zeros + here.strftime("%z")
        assert canonical(longer) == canonical(text), "some languages write more digits than there are"
    written = json.loads(canonical(text))
    assert datetime.fromisoformat(written) == here
    assert written.endswith("Z")
    assert canonical(written) == canonical(text)


@given(moments, moments, offsets)
def test_different_moments_have_different_forms(one: datetime, other: datetime, offset: timezone) -> None:
    forms = {canonical(each.replace(tzinfo=UTC).astimezone(offset).isoformat()) for each in (one, other)}
    assert len(forms) == len({one, other})


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-25",
        "2026-11-25T00:00:00",
        "2026-13-25T00:00:00+00:00",
        "2026-11-25T00:00:60+00:00",
        "2026-11-25T00:00:00.1234567+00:00",
        "0001-01-01T00:00:00+05:00",
        "at 2026-11-25T00:00:00+00:00",
        "\uff12026-11-25T00:00:00+00:00",
        "1.50",
    ],
)
def test_a_text_that_is_no_moment_with_an_offset_stays_as_it_is(text: str) -> None:
    assert json.loads(canonical(text)) == text


@given(values)
def test_nothing_that_json_holds_is_refused_and_the_form_means_the_same(value: Any) -> None:
    form = canonical(value)
    again = json.loads(form.decode("utf-8", "surrogatepass"), parse_float=Decimal)
    assert canonical(again) == form


@settings(max_examples=40)
@given(st.dictionaries(texts, values, max_size=6), st.randoms())
def test_the_order_of_keys_does_not_matter(record: dict[str, Any], chance: Any) -> None:
    keys = list(record)
    chance.shuffle(keys)
    assert canonical({key: record[key] for key in keys}) == canonical(record)


def different() -> Iterator[tuple[Any, Any]]:
    yield [1, 2], [2, 1]
    yield 1, "1"
    yield 1, True
    yield 0, False
    yield None, "null"
    yield {}, []
    yield {"a": None}, {}
    yield "a", "A"
    yield "\ud83d\ude00", "\U0001f600 "
    yield {"a": {"b": 1}}, {"a": 1, "b": {}}
    yield [["a"], "b"], ["a", ["b"]]


@pytest.mark.parametrize(("one", "other"), list(different()))
def test_what_means_something_else_has_another_form(one: Any, other: Any) -> None:
    assert canonical(one) != canonical(other)
    assert record_digest(one) != record_digest(other)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")])
def test_what_is_no_number_of_json_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a number of JSON"):
        canonical([value])


def test_what_json_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="JSON has no set"):
        canonical({"a": {1}})


def test_what_is_nested_too_deeply_is_refused_and_ends_nothing() -> None:
    with pytest.raises(ValueError, match="too deeply"):
        loads("[" * 100_000 + "]" * 100_000)
    deep: Any = 1
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(ValueError, match="too deeply"):
        canonical(deep)


def test_a_number_that_python_cannot_hold_is_refused_and_ends_nothing() -> None:
    with pytest.raises(ValueError, match="exponent"):
        loads("1e99999999999999999999999")


@settings(max_examples=40)
@given(st.lists(values, max_size=8), st.integers(0, 8), st.randoms())
def test_a_digest_is_a_sum_in_any_order_and_in_any_parts(records: list[Any], cut: int, chance: Any) -> None:
    whole = Digest.of(records)
    mixed = list(records)
    chance.shuffle(mixed)
    parts = Digest.of(mixed[:cut])
    parts.merge(Digest.of(mixed[cut:]))
    assert parts == whole
    assert whole.count == len(records)
    assert int(whole.hex, 16) == whole.total == sum(map(record_digest, records)) % 2**128
    assert len(whole.hex) == 32


def test_a_record_that_is_there_twice_is_not_one_that_is_missing() -> None:
    """A sum notices what an exclusive or would not."""
    assert Digest.of([1, 1]) != Digest.of([])
    assert Digest.of([1, 1, 2]) != Digest.of([2])


def test_the_form_is_the_one_that_is_documented() -> None:
    record = {"b": Decimal("1.50"), "a": [True, None, "é\n"], "at": "2026-11-25 01:00:00.500+01", "n": 10**40}
    expected = '{"a":[true,null,"é\\n"],"at":"2026-11-25T00:00:00.5Z","b":1.5,"n":1E+40}'
    assert canonical(record).decode() == expected

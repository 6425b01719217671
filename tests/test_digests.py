"""The fast way to a digest leads to the same one as the general way."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snk.core.canonical import record_digest
from snk.digests import DECODER, exact_digest
from tests.core.test_canonical import moments, offsets, values

forms = st.sampled_from(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dt%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f"])
ends = st.sampled_from(
    [
        "",
        "Z",
        ".0Z",
        ".100Z",
        ".1234560000Z",
        ".1234567Z",
        ".0000000Z",
        "z",
        "+00",
        "+00:00",
        "-0330",
        "+14:00",
        "0Z",
        "000Z",
        "-1",
        " ",
        "Zx",
    ]
)


@pytest.mark.long
@settings(max_examples=400)
@given(values)
def test_the_digest_of_any_record_is_the_same(value: Any) -> None:
    assert exact_digest(value) == record_digest(value)


numbers = st.from_regex(r"\A-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?\Z")


@pytest.mark.long
@settings(max_examples=1000)
@given(numbers)
def test_numbers_with_a_fraction_keep_all_their_digits(text: str) -> None:
    assert exact_digest(DECODER.decode(f"[{text}]")) == record_digest(json.loads(f"[{text}]", parse_float=Decimal))


@settings(max_examples=400)
@given(moments, forms, ends, st.sampled_from(["{}", "x{}", '"{}', "{}\n", "\\{}", '\\"{}', ',"{}']))
def test_times_in_any_form_have_the_same_digest(at: datetime, form: str, end: str, around: str) -> None:
    text = around.format(at.strftime(form) + end)
    for record in (text, [text], {"at": text, "n": 1}, {text: text}):
        assert exact_digest(record) == record_digest(record)


@given(moments, offsets)
def test_times_in_any_zone_have_the_same_digest(at: datetime, zone: Any) -> None:
    text = at.replace(tzinfo=zone).isoformat()
    assert exact_digest({"at": text}) == record_digest({"at": text})


@pytest.mark.parametrize(
    "value",
    [
        "\x00\x1f\x7f\u2028/\\\"'<>&",
        "\ud800",
        {"\U0001f600": 1, "\uffff": 2, "\ud83d": 3},
        2**63 - 1,
        -(2**63),
        2**64,
        10**50,
        Decimal("1.50"),
        Decimal("1e30"),
        [True, False, None, 0, -0],
        "2026-11-25T00:00:00.100Z",
        "2026-11-25T00:00:00.1Z",
        "2026-11-31T00:00:00.100Z",
        "2026-11-30T00:00:00.100Z",
        "2024-02-29T23:59:59.999000Z",
        "0000-01-01T00:00:00.000Z",
        "0001-01-01T00:00:00.000Z",
        "2026-11-25T24:00:00.000Z",
        "2026-11-25T00:00:60.000Z",
        "9999-99-99T99:99:99Z",
        "2026-11-25T00:00:00+00:00 ",
        "\u0662026-11-25T00:00:00+01:00",
    ],
)
def test_what_is_special_has_the_same_digest(value: Any) -> None:
    for record in (value, {"a": value}, [[value]]):
        assert exact_digest(record) == record_digest(record)


def test_deep_nesting_is_read_as_deep_as_otherwise() -> None:
    deep: Any = 1
    for _ in range(260):
        deep = [deep]
    assert exact_digest(deep) == record_digest(deep)

"""What each answer means for a record."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.pipeline.outcome import ALREADY_STORED, RUNNING, USUAL, Outcome, judge, judge_conflict


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *[(status, "done") for status in (200, 201, 202, 204)],
        *[(status, "again") for status in (408, 409, 425, 429, 500, 502, 503, 504, 599)],
        *[(status, "pause") for status in (401, 403, 404, 405, 407)],
        *[(status, "refused") for status in (400, 410, 413, 422, 451)],
        *[(status, "pause") for status in (100, 301, 302, 304, 308)],
    ],
)
def test_what_an_answer_usually_means(status: int, outcome: Outcome) -> None:
    assert judge(status, USUAL) == outcome


def test_the_rule_for_one_status_goes_before_that_for_its_class() -> None:
    rules: dict[str, Outcome] = {**USUAL, "404": "refused", "4xx": "again", "3xx": "stored"}
    assert [judge(status, rules) for status in (404, 422, 401, 302)] == ["refused", "again", "pause", "stored"]


@given(st.integers(100, 599))
def test_every_answer_means_something(status: int) -> None:
    assert judge(status, USUAL) in ("done", "again", "pause", "refused")


def problem(kind: str, **members: object) -> bytes:
    return json.dumps({"type": kind, **members}).encode()


@pytest.mark.parametrize(
    ("body", "perhaps_sent", "patient", "outcome"),
    [
        (problem(ALREADY_STORED, equal=True), False, True, "stored"),
        (problem(ALREADY_STORED, equal=True), True, False, "stored"),
        (problem(ALREADY_STORED, equal=False), True, True, "refused"),
        (problem(ALREADY_STORED), True, True, "refused"),
        (problem(ALREADY_STORED, equal="true"), True, False, "refused"),
        (problem(RUNNING), True, False, "again"),
        (problem(RUNNING), False, True, "again"),
        (problem("about:blank"), False, True, "again"),
        (problem("about:blank"), True, True, "again"),
        (problem("about:blank"), True, False, "stored"),
        (problem("about:blank"), False, False, "refused"),
        (b"", True, False, "stored"),
        (b"[1]", False, False, "refused"),
        (b"\xff\xfe", False, False, "refused"),
        (b"[" * 60_000, False, False, "refused"),
    ],
)
def test_what_a_conflict_means(body: bytes, perhaps_sent: bool, patient: bool, outcome: Outcome) -> None:  # noqa: FBT001
    assert judge_conflict(body, perhaps_sent=perhaps_sent, patient=patient) == outcome


@given(st.binary(max_size=30), st.booleans())
def test_a_record_that_was_surely_not_sent_is_never_taken_for_stored_without_a_word(body: bytes, patient: bool) -> None:  # noqa: FBT001
    assert judge_conflict(body, perhaps_sent=False, patient=patient) in ("again", "refused")

"""A plan is one document that cannot be changed, and a question that is asked until it is answered."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from snk.core.plan import NOBODY, REFUSED, Plan, Question, confirmed, restored
from snk.resync.model import InsertRows, RaiseCounter, Repair, repair_of

PLAN: Plan[Repair] = Plan(
    "resync",
    "P",
    "2026-11-26T00:00:00+00:00",
    (InsertRows(7, 3, -1, 2, 1, "sasp_7", 4), RaiseCounter("sasp_7", None, 4)),
)


def test_a_plan_is_restored_as_it_was_written() -> None:
    assert restored(PLAN.written(), "resync", repair_of) == PLAN


def change(name: str, value: Any) -> str:
    """The written plan with one of its values changed."""
    given = json.loads(PLAN.written())
    given[name] = value
    return json.dumps(given)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a plan"),
        ("[]", "not a plan"),
        ("{}", "not a plan"),
        (change("subject", "Q"), "changed since"),
        (change("actions", []), "changed since"),
        (change("id", "0" * 16), "changed since"),
        (change("kind", "verify"), "plan of `snk verify`"),
        (change("format", "snk-plan/9"), "snk-plan/9"),
    ],
)
def test_what_is_no_plan_or_was_changed_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        restored(text, "resync", repair_of)


def ask(*answers: str, exact: bool = True) -> tuple[bool, list[str]]:
    """The result of a question that is answered so, and what was said."""
    question = Question("sync?", declined="left", exact=exact)
    said: list[str] = []
    given: Iterator[str] = iter(answers)

    def answer(prompt: str) -> str:
        said.append(prompt)
        try:
            return next(given)
        except StopIteration:
            raise EOFError from None

    return confirmed(question, answer, lambda: said.append("details"), said.append), said


@pytest.mark.parametrize(
    ("answers", "result", "said"),
    [(["Y"], True, []), (["N"], False, ["left"]), (["y\n"], True, []), ([], False, [NOBODY])],
)
def test_a_question_is_answered_by_y_or_n(answers: list[str], result: bool, said: list[str]) -> None:  # noqa: FBT001
    assert ask(*answers) == (result, ["sync? [Y/N/D]: ", *said])


@pytest.mark.parametrize(("given", "result"), [("yes", True), ("Yes\n", True), ("NO", False), ("n", False)])
def test_words_are_answers_where_no_exact_letters_are_promised(given: str, *, result: bool) -> None:
    found, said = ask(given, exact=False)
    assert (found, said[0]) == (result, "sync? D shows the details. [Y/N/D]: ")


@pytest.mark.parametrize("garbage", ["", "yes", "YN", "1", "\x00", "да"])
def test_any_other_answer_is_refused_and_asked_again(garbage: str) -> None:
    result, said = ask(garbage, "Y")
    assert result
    assert said == ["sync? [Y/N/D]: ", REFUSED, "sync? [Y/N/D]: "]


def test_d_shows_the_details_and_asks_again() -> None:
    asked = "sync? [Y/N/D]: "
    assert ask("D", "D", "N")[1] == [asked, "details", asked, "details", asked, "left"]

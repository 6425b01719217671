"""What is shown of the words of others."""

import json

from hypothesis import given
from hypothesis import strategies as st

from snk.core.shown import document, plain


@given(st.text())
def test_any_text_is_printable_afterwards_and_can_be_told_from_others(text: str) -> None:
    assert plain(text).isprintable()
    assert (plain(text) == text) == text.isprintable()


def test_codes_of_terminals_are_escaped_and_letters_are_not() -> None:
    assert plain("\x1b[2Jé\x9b") == "\\u001b[2Jé\\u009b"


@given(st.recursive(st.none() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)))
def test_a_document_is_printable_and_means_the_same(told: object) -> None:
    for indent in (None, 2):
        shown = document(told, indent)
        assert json.loads(shown) == told
        assert all(line.isprintable() for line in shown.split("\n"))

"""Values come back from one text as they went in, or it is said that they can't."""

from hypothesis import given
from hypothesis import strategies as st

from snk.pair.table.texts import NOTHING, SEPARATOR, joined, parted

VALUES = st.none() | st.text(alphabet=["a", "ě", " ", SEPARATOR, NOTHING], max_size=3)


@given(st.lists(VALUES, min_size=2, max_size=8))
def test_what_can_be_joined_comes_back(values: list[str | None]) -> None:
    text = joined(values)
    if text is not None:
        assert parted(text, len(values), values.count(None)) == values
    else:
        assert any(value == NOTHING or SEPARATOR in value for value in values if value is not None)


@given(st.lists(VALUES, min_size=1, max_size=8))
def test_what_a_server_joined_comes_back_or_is_asked_for_again(values: list[str | None]) -> None:
    """A server joins without looking what the values hold."""
    text = SEPARATOR.join(NOTHING if value is None else value for value in values)
    assert parted(text, len(values), values.count(None)) in (values, None)


def test_ordinary_values_are_joined() -> None:
    assert parted(joined(["a", None, ""]) or "", 3, 1) == ["a", None, ""]

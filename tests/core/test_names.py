"""Names of tables: what is written comes back, and what cannot be read is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.core.names import MOST_BYTES, split_list, split_name, written

LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
PARTS = st.text(LETTERS, min_size=1, max_size=20).filter(lambda part: len(part.encode()) <= MOST_BYTES)
NAMES = st.lists(PARTS, min_size=1, max_size=2).map(tuple)


@given(NAMES)
def test_any_name_can_be_written(parts: tuple[str, ...]) -> None:
    assert split_name(written(parts)) == parts
    assert split_list(written(parts)) == (written(parts),)


@given(st.lists(NAMES, min_size=1, unique=True))
def test_a_list_holds_its_names(names: list[tuple[str, ...]]) -> None:
    texts = [written(parts) for parts in names]
    assert split_list(" , ".join(texts)) == tuple(texts)
    assert split_list(",".join([*texts, *texts])) == tuple(texts)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("orders, sales.lines ,", ("orders", "sales.lines")),
        ('"orders"', ("orders",)),
        ('"a,b"."c.d"', ('"a,b"."c.d"',)),
        ('"sales" . "lines"', ("sales.lines",)),
        ("Orders;--", ("Orders;--",)),
        ("my table", ("my table",)),
        ('"id"""', ('"id"""',)),
        (" ,, ", ()),
    ],
)
def test_what_is_written_is_read(text: str, names: tuple[str, ...]) -> None:
    assert split_list(text) == names


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('"open', "no name can be read at '\"open'"),
        ("a.", "no name follows the dot"),
        ("a.,b", "no name can be read at ',b'"),
        (".a", r"no name can be read at '\.a'"),
        ('"a"b', "what follows a should be a dot or a comma: 'b'"),
        ('a"b', "what follows a should be a dot or a comma"),
        ("a.b.c", "has 3 parts"),
        ('""', "a name is empty"),
        ("ä" * 32, "longer than the 63 bytes"),
        ('"a\x1bb"', "control character"),
    ],
)
def test_what_is_not_well_formed_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        split_list(text)

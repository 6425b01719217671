"""The end of a page says where the next one begins, whatever its records hold; and no page is asked for twice."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.batch.consumer.failing import FileFailed
from snk.batch.consumer.loading import END_BYTES, page_of
from tests.kit.consumer import ConsumerProcess, Front, call, until_ended
from tests.kit.databases import Database

Make = Callable[..., ConsumerProcess]
MakeFile = Callable[..., dict[str, Any]]

TRICKY = st.sampled_from(
    ['],"next":"a"}', '\\],"next":null}', '"],"next":"b"}', '{"items":[],"next":"c"}', "\\", '"', ""]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | TRICKY
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(VALUES, max_size=4), st.none() | TEXTS, st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
def test_next_is_what_the_document_says(items: list[Any], following: str | None, separators: tuple[str, str]) -> None:
    document: dict[str, Any] = {"items": items, "next": following}
    for members in (document, dict(reversed(document.items())), {**document, "more": {"next": "d"}}):
        for plain in (True, False):
            text = json.dumps(members, separators=separators, ensure_ascii=plain)
            assert page_of(f" {text}\n".encode()).next == following


def test_the_end_of_a_large_page_is_enough() -> None:
    body = b'{"items":[' + b"1" * 2 * END_BYTES + b'],"next":"after \\u00fc"}'
    assert page_of(body).next == "after ü"
    key = "k" * 2 * END_BYTES
    assert page_of(json.dumps({"items": [1], "next": key}).encode()).next == key


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"nothing", b'{"items": []}', b'{"next": 5}', b'{"items":["\xff"],"next":null}']
)
def test_what_is_no_page_is_told(body: bytes) -> None:
    with pytest.raises(FileFailed, match="the provider's answer is no page: "):
        page_of(body)


async def test_a_page_is_not_asked_for_twice(make: Make, file: MakeFile, front: Front, database: Database) -> None:
    """A provider that passes over the parameter ``after`` sends its first page for ever."""
    one = await make().started()
    front.instead = '{"items": [{"uid": "a", "created_at": "2026-11-25T00:00:00Z"}], "next": "a"}'
    told = await until_ended(one.url, call({"t0": file()}))
    assert told["state"] == "FAILED"
    assert "the provider repeats pages: next is 'a', after which it was asked before" in told["reason"]
    assert await database.value("select count(*) from loaded_t0") == 0

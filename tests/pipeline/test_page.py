"""Pages are read whole or refused; a large one is read as a stream, and has the same records."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snk.core.canonical import Digest, canonical
from snk.pipeline import page as pages
from snk.pipeline.mapping import Unfit, dumps
from snk.pipeline.page import Format, NoPage, Page, Reading

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=10)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
uids = st.text(st.characters(codec=None, exclude_categories=()), min_size=1, max_size=8)
records = st.lists(
    st.builds(lambda uid, rest: {**rest, "uid": uid}, uids, st.dictionaries(texts, jsons, max_size=3)), max_size=6
)


def opened(form: Format, body: bytes, listed: str = "", cursor: str = "", count: str = "") -> Page:
    return Reading(form, listed, "uid", cursor, count).page(io.BytesIO(body))


def document(items: list[Any], path: str) -> bytes:
    body = b"[" + b",".join(map(dumps, items)) + b"]"
    for name in reversed(path.split(".") if path else []):
        body = b'{"before":[1,{"items":2}],"' + name.encode() + b'":' + body + b',"after":null}'
    return body


plain = st.text(st.characters(codec="ascii", min_codepoint=32), max_size=8)
plain_records = st.lists(
    st.fixed_dictionaries(
        {"uid": plain.filter(bool), "n": st.integers() | st.decimals(allow_nan=False, allow_infinity=False), "t": plain}
    ),
    max_size=6,
)


@settings(max_examples=60)
@given(plain_records, st.sampled_from(["", "items", "data.items"]))
def test_a_large_document_has_the_records_that_it_would_have_if_it_were_small(items: list[Any], path: str) -> None:
    body = document(items, path)
    whole = list(opened("json", body, path).records())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "MOST_WHOLE_BYTES", 0)
        streamed = list(opened("json", body, path).records())
    assert [(uid, canonical(record), text) for uid, record, text in streamed] == [
        (uid, canonical(record), text) for uid, record, text in whole
    ]
    assert [record for _, record, _ in whole] == items


@settings(max_examples=60)
@given(plain_records, st.data())
def test_a_document_that_is_cut_anywhere_is_refused(items: list[Any], data: st.DataObject) -> None:
    body = document(items, "items")
    for cut in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=10)):
        for most in (0, 2**20):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(pages, "MOST_WHOLE_BYTES", most)
                with pytest.raises(NoPage):
                    list(opened("json", body[:cut], "items").records())


@pytest.mark.parametrize("most", [0, 2**20], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    "text",
    [
        "[" * 5_000 + "]" * 5_000,
        '[{"uid":"a","deep":' + "[" * 3_000 + "]" * 3_000 + "}]",
        '[{"uid":"a","n":' + "1" * 5_000 + "}]",
        '[{"uid":"a","n":1e99999999999999999999999}]',
        '[{"uid":"a","n":NaN}]',
        '[{"uid":"a"}] and more',
        '[{"uid":"a"},]',
        '[{"uid":"\x01"}]',
        '{"items":[]}',
        "",
        "null",
    ],
    ids=lambda text: repr(text[:24]),
)
def test_what_cannot_be_read_is_refused_and_ends_nothing(text: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast parser would end its process at a number of so many digits."""
    monkeypatch.setattr(pages, "MOST_WHOLE_BYTES", most)
    with pytest.raises(NoPage):
        list(opened("json", text.encode()).records())


@pytest.mark.parametrize("before", [0, 2**20 - 30, 2**20 - 24, 2**20 - 21, 2**20 - 18, 2**20 - 12, 2**21])
def test_half_a_pair_of_surrogates_is_kept_wherever_it_stands_in_a_large_document(
    before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fast parser would make a question mark of it, so that two uids are one."""
    monkeypatch.setattr(pages, "MOST_WHOLE_BYTES", 0)
    body = b"[" + b" " * before + rb'{"uid":"\ud83d\ude00\ud800"},{"uid":"\udc00"},{"uid":"?"}]'
    assert [uid for uid, _, _ in opened("json", body).records()] == ["\U0001f600\ud800", "\udc00", "?"]


@pytest.mark.parametrize("before", range(2**20 - 40, 2**20 + 1, 3))
def test_whole_pairs_do_not_make_reading_slow(before: int) -> None:
    assert not pages._is_odd(io.BytesIO(b" " * before + rb'"\ud83d\ude00\uD83D\uDE00"' + b" " * 50))


@settings(max_examples=40)
@given(records)
def test_lines_of_json_are_read_as_they_were_written(items: list[Any]) -> None:
    lines = [json.dumps(each, default=str).encode() for each in items]
    page = opened("jsonl", b"\n".join(lines) + b"\n\n")
    assert [text for _, _, text in page.records()] == lines
    assert page.count == len(items)


@given(plain_records)
def test_the_line_that_closes_a_frame_is_told_and_is_no_record(items: list[Any]) -> None:
    digest = Digest.of(items)
    lines = [*map(dumps, items), dumps({"$end": {"count": digest.count, "digest": digest.hex}})]
    page = opened("jsonl", b"\n".join(lines))
    assert [record for _, record, _ in page.records()] == items
    assert page.end == digest
    with pytest.raises(NoPage, match="something follows"):
        list(opened("jsonl", b"\n".join([*lines, b'{"uid":"late"}'])).records())


@pytest.mark.parametrize("end", ["{}", '{"count":1}', '{"count":"1","digest":"00"}', '{"count":1,"digest":"x"}', "3"])
def test_a_closing_line_without_count_and_digest_is_refused(end: str) -> None:
    with pytest.raises(NoPage, match="has no count and digest"):
        list(opened("jsonl", b'{"$end":' + end.encode() + b"}").records())


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


@pytest.mark.long
@given(st.lists(st.tuples(cells, cells, cells), max_size=6), st.booleans())
def test_csv_is_read_as_it_was_written(rows: list[tuple[str, str, str]], bom: bool) -> None:  # noqa: FBT001
    body = io.StringIO(newline="")
    csv.writer(body).writerows([("uid", "a b", "ü"), *rows])
    text = body.getvalue().encode("utf-8-sig" if bom else "utf-8")
    found = [record for _, record, _ in opened("csv", text).records()]
    assert found == [{"uid": one, "a b": other, "ü": last} for one, other, last in rows]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "no line with the names"),
        (b"uid,a\n1\n", "line 2 has 1 fields, and there are 2 columns"),
        (b"uid,a\n1,2,3\n", "has 3 fields"),
        (b"uid,a,uid\n1,2,3\n", "two columns 'uid'"),
        (b'uid,a\n1,"2\n', "is no CSV"),
        (b"uid,a\n1,\xff\n", "is no CSV"),
    ],
)
def test_csv_that_does_not_fit_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(NoPage, match=reason):
        list(opened("csv", text).records())


@pytest.mark.parametrize("uid", ["null", '""', "1.5", "true", "[1]", "{}"])
def test_a_record_without_a_uid_does_not_fit(uid: str) -> None:
    with pytest.raises(Unfit, match="record 1 has"):
        list(opened("jsonl", b'{"uid":"a"}\n{"uid":' + uid.encode() + b"}").records())


def test_a_whole_number_is_a_uid() -> None:
    assert [uid for uid, _, _ in opened("jsonl", b'{"uid":12345678901234567890}').records()] == ["12345678901234567890"]


def test_cursor_and_count_are_told() -> None:
    page = opened("json", b'{"items":[{"uid":"a"}],"next":"c2","total":7}', "items", "next", "total")
    assert [uid for uid, _, _ in page.records()] == ["a"]
    assert (page.cursor, page.total) == ("c2", 7)


@pytest.mark.parametrize("given_cursor", ["null", '""', "false"])
def test_an_empty_cursor_is_that_of_the_last_page(given_cursor: str) -> None:
    page = opened("json", b'{"items":[],"next":' + given_cursor.encode() + b"}", "items", "next")
    assert (list(page.records()), page.cursor) == ([], None)


def test_a_count_that_is_none_is_refused() -> None:
    with pytest.raises(NoPage, match="how many records there are, and tells None"):
        list(opened("json", b'{"items":[]}', "items", "", "total").records())


def test_a_large_document_with_a_cursor_is_refused_with_what_would_be_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_WHOLE_BYTES", 0)
    with pytest.raises(NoPage, match="only plain paths"):
        list(opened("json", b'{"items":[]}', "items", "next").records())
    with pytest.raises(NoPage, match="only plain paths"):
        list(opened("json", b'{"items":[]}', "items[?a]").records())

"""The format of JSON lines."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.handoff.codecs.jsonl import Jsonl, JsonWrite
from snk.handoff.request import BadLine
from snk.http.client import Request


def decoded(**given: Any) -> JsonWrite:
    """The write of a line with these names."""
    return Jsonl().decode(json.dumps(given).encode())


def test_a_line_is_one_request() -> None:
    write = decoded(
        method="put",
        path="/orders/7",
        query={"a": "b c", "d": ["1", "2"]},
        headers={"Content-Type": "application/json"},
        body='{"x":1}',
    )
    headers = (("Content-Type", "application/json"),)
    assert write.request(0) == Request("PUT", "/orders/7?a=b+c&d=1&d=2", b'{"x":1}', headers)
    assert decoded(path="/a").request(0) == Request("POST", "/a")
    assert decoded(path="/a", query="x=%20&y").request(0) == Request("POST", "/a?x=%20&y")
    assert decoded(path="/a", body={"x": [1]}).request(0) == Request("POST", "/a", b'{"x":[1]}')
    assert decoded(path="/a", body_base64="AP8=").request(0) == Request("POST", "/a", b"\x00\xff")


def test_its_key_is_its_path_unless_it_has_one() -> None:
    assert decoded(path="/a", query="x=1").key == b"/a"
    assert decoded(path="/a", key="k").key == b"k"


def test_it_is_not_sent_when_its_time_is_over() -> None:
    write = decoded(path="/a", expires_at=100)
    assert write.request(99.9) is not None
    assert write.request(100) is None


writes = st.builds(
    JsonWrite,
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    st.sampled_from(["/", "/a/b", "/a%20b", "/~x"]),
    st.sampled_from(["", "a=b", "a=%C3%A4&b"]),
    st.sampled_from([(), (("X-A", "b"),)]),
    st.binary(max_size=100),
    st.text(st.characters(codec="utf-8"), max_size=10),
    st.one_of(st.none(), st.integers(0, 2**40)),
)


@given(writes)
def test_every_request_comes_back(write: JsonWrite) -> None:
    line = Jsonl().encode(write)
    assert b"\n" not in line
    assert Jsonl().decode(line) == write


@given(st.one_of(st.binary(max_size=100), st.text(max_size=100).map(lambda text: text.encode("utf-8", "ignore"))))
def test_any_bytes_are_a_request_or_a_bad_line(line: bytes) -> None:
    with suppress(BadLine):
        assert Jsonl().decode(line).path.startswith("/")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "a JSON list, not an object"),
        (b'{"path":"/a","pth":1}', "it has 'pth', which is none of method"),
        (b'{"path":"/a","method":"HEAD"}', "the method 'HEAD' is none of"),
        (b"{}", "the path ''"),
        (b'{"path":"http://elsewhere/"}', "the path 'http://elsewhere/'"),
        (b'{"path":"//elsewhere/"}', "the path '//elsewhere/'"),
        (b'{"path":"/a b"}', "the path '/a b'"),
        (b'{"path":7}', "path is 7, not a text"),
        (b'{"path":"/a","headers":[]}', "headers is"),
        (b'{"path":"/a","headers":{"Host":"b"}}', "the header 'Host' is not one"),
        (b'{"path":"/a","headers":{"A":"b\\r\\nC: d"}}', "the header A has a value that cannot be sent"),
        (b'{"path":"/a","body":"x","body_base64":"eA=="}', "a body and a body_base64"),
        (b'{"path":"/a","body_base64":"x"}', "body_base64 is not base64"),
        (b'{"path":"/a","expires_at":"soon"}', "expires_at is 'soon'"),
        (b'{"path":"/a","query":{"a":null}}', "query has 'a': None, not a text"),
        (b'{"path":"/a","query":{"a":["b",true]}}', "query has 'a'"),
        (b'{"path":"/a","query":{"a":{"b":1}}}', "query has 'a'"),
        (b'{"path":"/a","query":{"a":NaN}}', "NaN is no JSON"),
        (b'{"path":"/a","expires_at":Infinity}', "Infinity is no JSON"),
        (b'{"path":"/a","body":"\\ud800"}', "half of a character"),
        (b'{"path":"/a","query":{"\\ud800":"a"}}', "half of a character"),
    ],
)
def test_what_can_never_be_sent_says_why(line: bytes, why: str) -> None:
    with pytest.raises(BadLine, match=why):
        Jsonl().decode(line)


def test_only_a_post_or_patch_may_change_something_twice() -> None:
    assert [decoded(path="/a", method=name).adds for name in ("GET", "PUT", "DELETE", "POST", "PATCH")] == [
        False,
        False,
        False,
        True,
        True,
    ]

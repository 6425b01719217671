"""The format of hustdb: the published vectors bit for bit, and every request as the table says."""

import base64
import string
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.handoff.codecs.hustdb import METHODS, Hustdb, HustdbWrite, KeyForm
from snk.handoff.record import Record, crc, packed, unpacked
from snk.handoff.request import BadLine
from snk.http.client import Request

NOW = 1_700_000_000
AT = datetime(2023, 11, 14, 22, 13, 20)  # noqa: DTZ001 - logs are in local time
HEAD = b"[2023-11-14 22:13:20] [DEBUG] | "
HSET = Record(3, 7, b"user:42/a", NOW + 600, b"sess.t1", 0, 0, b"\x76\x0a\x00\xff")
VECTORS = [
    (HSET, b"NgAAAAMHAAAACQAAAHVzZXI6NDIvYZUAAJ9Y81NlBwAAAHNlc3MudDGRAAAEAAAAAAAAAAAAdgoA/w=="),
    (Record(2, 9, b"k1"), b"KAAAAAIJAAAAAgAAAGsxZgAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="),
    (
        Record(5, 3, "\uc911".encode(), 0, b"set1", 0, 0, "\uc911".encode()),
        b"LQAAAAUDAAAAAwAAAOykkR4BAAAAAAAABAAAAHNldDGSAACgAAAAAAAAAAAA7KSR",
    ),
    (
        Record(7, 4, b"m1", 0, b"rank", 100, 1, b"m1"),
        b"LAAAAAcEAAAAAgAAAG0xZwAAgAAAAAAEAAAAcmFua8gAAIBkAAAAAAAAAAFtMQ==",
    ),
]


@pytest.mark.parametrize(("record", "text"), VECTORS)
def test_the_vectors_decode_and_encode_bit_for_bit(record: Record, text: bytes) -> None:
    assert packed(record) == base64.b64decode(text)
    assert Hustdb().decode(HEAD + text) == HustdbWrite(record)
    assert Hustdb().encode(HustdbWrite(record), AT) == HEAD + text


def test_the_check_sums_are_those_of_the_vectors() -> None:
    assert (crc(b"user:42/a"), crc(b"sess.t1"), crc(b"")) == (0x9F000095, 0x04000091, 0)
    assert packed(HSET)[:4] == (54).to_bytes(4, "little")


def test_the_request_of_the_vector() -> None:
    target = "/hustdb/hset?key=user%3A42%2Fa&ver=7&ttl=600&tb=sess.t1&is_dup=true"
    assert HustdbWrite(HSET).request(NOW) == Request("POST", target, b"\x76\x0a\x00\xff")


@pytest.mark.parametrize(
    ("method", "verb", "target", "body"),
    [
        (1, "POST", "/hustdb/put?key=a%20b&ver=5&ttl=60&is_dup=true", b"v"),
        (2, "GET", "/hustdb/del?key=a%20b&ver=5&is_dup=true", b""),
        (3, "POST", "/hustdb/hset?key=a%20b&ver=5&ttl=60&tb=t:1&is_dup=true", b"v"),
        (4, "GET", "/hustdb/hdel?key=a%20b&ver=5&tb=t:1&is_dup=true", b""),
        (5, "POST", "/hustdb/sadd?ver=5&tb=t:1&is_dup=true", b"a b"),
        (6, "POST", "/hustdb/srem?ver=5&tb=t:1&is_dup=true", b"a b"),
        (7, "POST", "/hustdb/zadd?ver=5&tb=t:1&score=9&opt=-1&is_dup=true", b"a b"),
        (8, "POST", "/hustdb/zrem?ver=5&tb=t:1&is_dup=true", b"a b"),
        (17, "POST", "/husttb/put?key=a%20b&ver=5&tb=t:1&is_dup=true", b"v"),
        (18, "POST", "/husttb/update?key=a%20b&ver=5&tb=t:1&is_dup=true", b"v"),
        (19, "GET", "/husttb/delete?key=a%20b&ver=5&tb=t:1&is_dup=true", b""),
    ],
)
def test_every_method_is_sent_as_the_table_says(method: int, verb: str, target: str, body: bytes) -> None:
    write = HustdbWrite(Record(method, 5, b"a b", NOW + 60, b"t:1", 9, -1, b"v"))
    assert write.request(NOW) == Request(verb, target, body)
    assert write.removes == (method in (2, 4, 6, 8, 19))


def test_a_time_to_live_is_sent_only_where_it_belongs_and_only_while_it_lasts() -> None:
    lasting = HustdbWrite(Record(1, 5, b"k", 0, b"", value=b"v")).request(NOW)
    assert lasting == Request("POST", "/hustdb/put?key=k&ver=5&is_dup=true", b"v")
    short = HustdbWrite(Record(1, 5, b"k", NOW + 1, value=b"v"))
    assert short.request(NOW) is not None
    assert short.request(NOW + 1) is None
    assert HustdbWrite(Record(5, 5, b"k", NOW, b"t")).request(NOW + 1) is not None


def test_keys_are_percent_encoded_byte_by_byte() -> None:
    safe = "'(),-." + string.digits + string.ascii_uppercase + "[]_" + string.ascii_lowercase + "|"
    encoded = "".join(chr(byte) if chr(byte) in safe else f"%{byte:02X}" for byte in range(256))
    request = HustdbWrite(Record(2, 1, bytes(range(256)))).request(NOW)
    assert request is not None
    assert request.target == f"/hustdb/del?key={encoded}&ver=1&is_dup=true"
    assert ("%7E" in encoded, "%20" in encoded) == (True, True)


@pytest.mark.parametrize(("form", "target"), [("raw", "a%2520b"), ("wire", "a%20b")])
def test_keys_that_are_encoded_already_are_not_encoded_again(form: KeyForm, target: str) -> None:
    write = Hustdb(form).decode(Hustdb().encode(HustdbWrite(Record(2, 1, b"a%20b")), AT))
    request = write.request(NOW)
    assert request == Request("GET", f"/hustdb/del?key={target}&ver=1&is_dup=true")
    table = Hustdb(form).decode(Hustdb().encode(HustdbWrite(Record(19, 1, b"a%20b", tb=b"t")), AT))
    told = table.request(NOW)
    assert told is not None
    assert "key=a%2520b" in told.target, "only methods 1 to 4 are logged so"


records = st.builds(
    Record,
    st.sampled_from(sorted(METHODS)),
    st.integers(0, 2**32 - 1),
    st.binary(min_size=1, max_size=40),
    st.integers(0, 2**32 - 1),
    st.text("0123456789abcXYZ_:.", min_size=1, max_size=64).map(str.encode),
    st.integers(0, 2**64 - 1),
    st.integers(-128, 127),
    st.binary(min_size=1, max_size=200),
)


@given(records)
def test_every_record_comes_back(record: Record) -> None:
    assert unpacked(packed(record)) == record
    assert Hustdb().decode(Hustdb().encode(HustdbWrite(record), AT)) == HustdbWrite(record)


@given(records, st.data())
def test_a_record_that_was_cut_or_changed_in_its_head_is_no_other_record(record: Record, data: st.DataObject) -> None:
    whole = packed(record)
    head = int.from_bytes(whole[:4], "little")
    with pytest.raises(BadLine):
        unpacked(whole[: data.draw(st.integers(0, head - 1))])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_a_bad_line(line: bytes) -> None:
    for form in (line, HEAD + base64.b64encode(line)):
        try:
            write = Hustdb().decode(form)
        except BadLine:
            continue
        assert write.request(NOW) is None or write.record.method in METHODS


def line_of(record: Record) -> bytes:
    """The line that the writer would log."""
    return Hustdb().encode(HustdbWrite(record), AT)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "does not begin with a time"),
        (b"[2023-11-14 22:13:20] [DEBUG] ", "does not begin with a time"),
        (HEAD + b"%%%%", "not base64"),
        (HEAD + b"AAAA", "its head alone has 38"),
        (line_of(Record(9, 1, b"k")), "the method 9 is unknown"),
        (line_of(Record(3, 1, b"k", tb=b"a b", value=b"v")), "the table b'a b'"),
        (line_of(Record(3, 1, b"k", tb=b"a" * 65, value=b"v")), "is not 1 to 64"),
        (line_of(Record(5, 1, b"k")), "the table b''"),
        (line_of(Record(1, 1, b"k")), "it has no value"),
        (line_of(Record(3, 1, b"k", tb=b"t")), "it has no value"),
        (line_of(Record(2, 1, b"")), "it has no key"),
        (HEAD + base64.b64encode(packed(HSET).replace(b"user", b"uses")), "the check sum of the key"),
        (HEAD + base64.b64encode(packed(HSET).replace(b"sess", b"less")), "the check sum of the table"),
        (HEAD + base64.b64encode(b"\x10" + packed(HSET)[1:]), "does not fit a record"),
        (HEAD + base64.b64encode(b"\x37" + packed(HSET)[1:]), "and its parts have 54"),
    ],
)
def test_what_can_never_be_sent_says_why(line: bytes, why: str) -> None:
    with pytest.raises(BadLine, match=why.replace("(", r"\(")):
        Hustdb().decode(line)


def test_a_wire_key_must_be_encoded() -> None:
    with pytest.raises(BadLine, match="not percent-encoded"):
        Hustdb("wire").decode(line_of(Record(2, 1, b"a b")))


def test_writes_of_one_key_and_table_belong_together() -> None:
    keys = {HustdbWrite(Record(3, 1, key, tb=tb)).key for key, tb in [(b"a", b"t"), (b"a", b"u"), (b"b", b"t")]}
    assert len(keys) == 3
    assert HustdbWrite(Record(3, 1, b"a", tb=b"t")).key == HustdbWrite(Record(4, 2, b"a", tb=b"t")).key


def test_only_an_adding_zadd_adds_when_it_is_sent_twice() -> None:
    assert [HustdbWrite(Record(7, 1, b"m", tb=b"t", opt=opt)).adds for opt in (0, 1, -1)] == [False, True, True]
    assert not HustdbWrite(Record(1, 1, b"m", opt=1)).adds


def test_values_are_shown_only_when_asked_for() -> None:
    write = HustdbWrite(Record(1, 5, b"k", 99, value=b"secret"))
    assert write.shown(values=False) == {"method": "PUT", "key": "k", "ver": 5, "ttl": 99, "value": "(6 bytes)"}
    assert write.shown(values=True)["value"] == "secret"

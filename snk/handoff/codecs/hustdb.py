"""Lines as hustdb writes them: 32 characters with the time, and a record in base64; and the requests they stand for."""

import base64
import binascii
import re
import struct
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple

from snk.handoff import record as r
from snk.handoff.record import Record, packed, unpacked
from snk.handoff.request import BadLine
from snk.http.client import Request

KeyForm = Literal["raw", "wire"]
"""Whether the keys of methods 1 to 4 are in the log as they are, or percent-encoded already."""

_HEAD = re.compile(rb"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] \[[A-Z ]{5}\] \| ")
TABLE = re.compile(rb"[0-9A-Za-z_:.]{1,64}")
_WIRE = re.compile(rb"(?:%[0-9A-Fa-f]{2}|['(),\-.0-9A-Z\[\]_a-z|])+")
_PLAIN = frozenset(b"'(),-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz|")
_ENCODED = [chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in range(256)]
_DUP = "&is_dup=true"


@dataclass(frozen=True)
class _Method:
    """How one method is sent.

    Attributes:
        path: of its request.
        arguments: of its query, in their order.
        body: what is posted; None means that it is a GET.
        removes: whether it removes something.
    """

    name: str
    path: str
    arguments: tuple[str, ...]
    body: Literal["value", "key"] | None
    removes: bool = False

    @property
    def in_table(self) -> bool:
        """Whether it names a table."""
        return "tb" in self.arguments

    @property
    def has_key(self) -> bool:
        """Whether the query has the key."""
        return self.arguments[0] == "key"

    @cached_property
    def form(self) -> str:
        """The target, with places for the arguments."""
        places = ("{ttl}" if name == "ttl" else f"&{name}={{{name}}}" for name in self.arguments)
        return f"{self.path}?{''.join(places)[1:]}{_DUP}"


METHODS: dict[int, _Method] = {
    r.PUT: _Method("PUT", "/hustdb/put", ("key", "ver", "ttl"), "value"),
    r.DEL: _Method("DEL", "/hustdb/del", ("key", "ver"), None, removes=True),
    r.HSET: _Method("HSET", "/hustdb/hset", ("key", "ver", "ttl", "tb"), "value"),
    r.HDEL: _Method("HDEL", "/hustdb/hdel", ("key", "ver", "tb"), None, removes=True),
    r.SADD: _Method("SADD", "/hustdb/sadd", ("ver", "tb"), "key"),
    r.SREM: _Method("SREM", "/hustdb/srem", ("ver", "tb"), "key", removes=True),
    r.ZADD: _Method("ZADD", "/hustdb/zadd", ("ver", "tb", "score", "opt"), "key"),
    r.ZREM: _Method("ZREM", "/hustdb/zrem", ("ver", "tb"), "key", removes=True),
    r.TB_PUT: _Method("TB_PUT", "/husttb/put", ("key", "ver", "tb"), "value"),
    r.TB_UPDATE: _Method("TB_UPDATE", "/husttb/update", ("key", "ver", "tb"), "value"),
    r.TB_DELETE: _Method("TB_DELETE", "/husttb/delete", ("key", "ver", "tb"), None, removes=True),
}
BY_PATH = {method.path: number for number, method in METHODS.items()}
LOGGED_AS_SENT = (r.PUT, r.DEL, r.HSET, r.HDEL)
"""The methods whose keys some writers log percent-encoded."""


class HustdbWrite(NamedTuple):
    """One write of hustdb."""

    record: Record
    key_form: KeyForm = "raw"

    @property
    def key(self) -> bytes:
        """The table and the key: versions are compared for each."""
        return self.record.tb + b"\0" + self.record.key

    @property
    def removes(self) -> bool:
        """Whether it is a removal."""
        return METHODS[self.record.method].removes

    @property
    def adds(self) -> bool:
        """ZADD with an opt adds to the score, and does so again at an equal version."""
        return self.record.method == r.ZADD and self.record.opt != 0

    def request(self, now: float) -> Request | None:
        """The request; None if its time to live is over."""
        record, method = self.record, METHODS[self.record.method]
        left = record.ttl - int(now) if record.ttl and "ttl" in method.arguments else None
        if left is not None and left <= 0:
            return None
        target = method.form.format(
            key=self._written_key() if method.has_key else "",
            ver=record.ver,
            ttl="" if left is None else f"&ttl={left}",
            tb=record.tb.decode("ascii") if method.in_table else "",
            score=record.score,
            opt=record.opt,
        )
        if method.body is None:
            return Request("GET", target)
        return Request("POST", target, record.value if method.body == "value" else record.key)

    def _written_key(self) -> str:
        """The key as it stands in the query."""
        if self.key_form == "wire" and self.record.method in LOGGED_AS_SENT:
            return self.record.key.decode("ascii")
        return percent_encoded(self.record.key)

    def shown(self, *, values: bool) -> dict[str, Any]:
        """What a person reads."""
        record = self.record
        told: dict[str, Any] = {
            "method": METHODS[record.method].name,
            "key": record.key.decode("utf-8", "backslashreplace"),
            "ver": record.ver,
        }
        told |= {"tb": record.tb.decode("ascii", "backslashreplace")} if record.tb else {}
        told |= {name: value for name in ("ttl", "score", "opt") if (value := getattr(record, name))}
        value = record.value.decode("utf-8", "backslashreplace") if values else f"({len(record.value):,} bytes)"
        return told | {"value": value}


@dataclass(frozen=True, slots=True)
class Hustdb:
    """The codec."""

    key_form: KeyForm = "raw"

    def decode(self, line: bytes) -> HustdbWrite:
        """The write of one line.

        Raises:
            BadLine: it is not a line of hustdb, or no request can be made of it.
        """
        head = _HEAD.match(line)
        if not head:
            raise BadLine("it does not begin with a time and a level, such as [2023-11-14 22:13:20] [DEBUG] | ")
        try:
            data = binascii.a2b_base64(line[head.end() :], strict_mode=True)
        except binascii.Error as error:
            raise BadLine(f"it is not base64: {error}") from None
        record = unpacked(data)
        if why := _unfit(record, self.key_form):
            raise BadLine(why)
        return HustdbWrite(record, self.key_form)

    def encode(self, write: HustdbWrite, at: datetime) -> bytes:
        """The line of a write that was missed at this local time, without its end.

        Raises:
            ValueError: a number of the record is out of its range.
        """
        try:
            record = packed(write.record)
        except struct.error as error:
            raise ValueError(f"the record cannot be packed: {error}") from None
        return f"[{at:%Y-%m-%d %H:%M:%S}] [DEBUG] | ".encode() + base64.b64encode(record)


def percent_encoded(key: bytes) -> str:
    """A key as it stands in a query."""
    return "".join(map(_ENCODED.__getitem__, key))


def _unfit(record: Record, key_form: KeyForm) -> str | None:
    """Why no request can be made of a record; a backend would answer with 404, as if its path were wrong."""
    method = METHODS.get(record.method)
    if method is None:
        return f"the method {record.method} is unknown"
    if method.in_table and not TABLE.fullmatch(record.tb):
        return f"the table {record.tb[:80]!r} is not 1 to 64 of the characters 0-9 A-Z a-z _ : ."
    if not record.key:
        return "it has no key"
    if method.body == "value" and not record.value:
        return "it has no value"
    if key_form == "wire" and record.method in LOGGED_AS_SENT and not _WIRE.fullmatch(record.key):
        return "the key is not percent-encoded, and key_form is wire"
    return None

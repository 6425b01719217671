"""Lines of JSON: one object for each request, for logs of one's own."""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from snk.handoff.request import BadLine
from snk.http.client import Request

NAMES = ("method", "path", "query", "headers", "body", "body_base64", "key", "expires_at")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OURS = frozenset(("host", "content-length", "transfer-encoding", "connection", "authorization"))
_PATH = re.compile(r"/[!$%&'()*+,\-./0-9:;=@A-Z_a-z~]*")


@dataclass(frozen=True, slots=True)
class JsonWrite:
    """One request.

    Attributes:
        method: GET, POST, PUT, PATCH or DELETE.
        path: begins with a slash; percent-encoded, without a query.
        query: what follows the question mark, percent-encoded.
        headers: names and values, each name once.
        order: what it changes (the ``key`` of the line); without it, the path.
        expires_at: seconds since the epoch; None means never.
    """

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    order: str = ""
    expires_at: float | None = None

    @property
    def key(self) -> bytes:
        """What it changes."""
        return (self.order or self.path).encode()

    @property
    def removes(self) -> bool:
        """Whether it is a DELETE."""
        return self.method == "DELETE"

    @property
    def adds(self) -> bool:
        """HTTP promises for all methods but these that a repetition changes nothing (RFC 9110, 9.2.2)."""
        return self.method in ("POST", "PATCH")

    def request(self, now: float) -> Request | None:
        """The request; None if its time is over."""
        if self.expires_at is not None and self.expires_at <= now:
            return None
        return Request(self.method, f"{self.path}?{self.query}" if self.query else self.path, self.body, self.headers)

    def shown(self, *, values: bool) -> dict[str, Any]:
        """What a person reads."""
        body = self.body.decode("utf-8", "backslashreplace") if values else f"({len(self.body):,} bytes)"
        return {"method": self.method, "path": self.path, "query": self.query, "body": body}


@dataclass(frozen=True, slots=True)
class Jsonl:
    """The codec."""

    def decode(self, line: bytes) -> JsonWrite:
        """The request of one line.

        Raises:
            BadLine: it is no JSON object, or no request can be made of it.
        """
        try:
            given = json.loads(line, parse_constant=_refused)
        except (ValueError, RecursionError) as error:
            raise BadLine(f"it is not JSON: {error}") from None
        if not isinstance(given, dict):
            raise BadLine(f"it is a JSON {type(given).__name__}, not an object")
        if unknown := [name for name in given if name not in NAMES]:
            raise BadLine(f"it has {unknown[0]!r}, which is none of {', '.join(NAMES)}")
        method = _text(given, "method", "POST").upper()
        if method not in _METHODS:
            raise BadLine(f"the method {method[:20]!r} is none of {', '.join(_METHODS)}")
        path = _text(given, "path", "")
        if not _PATH.fullmatch(path) or path.startswith("//"):
            raise BadLine(f"the path {path[:80]!r} is not one that begins with / and is percent-encoded")
        order, expires = _text(given, "key", ""), _expires(given)
        return JsonWrite(method, path, _query(given), _headers(given), _body(given), order, expires)

    def encode(self, write: JsonWrite, at: object = None) -> bytes:  # noqa: ARG002 - the time is not in the line
        """The line of a request, without its end.

        Raises:
            TypeError: its body is not bytes.
            ValueError: two headers have one name.
        """
        if not isinstance(write.body, bytes):
            raise TypeError(f"body is a {type(write.body).__name__}; give bytes, such as text.encode()")
        if len(dict(write.headers)) < len(write.headers):
            raise ValueError("two headers have one name, and a line holds each name once")
        told: dict[str, Any] = {"method": write.method, "path": write.path}
        told |= {"query": write.query} if write.query else {}
        told |= {"headers": dict(write.headers)} if write.headers else {}
        told |= {"key": write.order} if write.order else {}
        told |= {"expires_at": write.expires_at} if write.expires_at is not None else {}
        if write.body:
            try:
                told["body"] = write.body.decode()
            except UnicodeDecodeError:
                told["body_base64"] = base64.b64encode(write.body).decode()
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def _refused(name: str) -> None:
    """Python reads NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{name} is no JSON")


def _text(given: dict[str, Any], name: str, otherwise: str) -> str:
    value = given.get(name, otherwise)
    if not isinstance(value, str):
        raise BadLine(f"{name} is {value!r:.80}, not a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadLine(f"{name} holds half of a character") from None
    return value


def _query(given: dict[str, Any]) -> str:
    """The query: as it is sent, or an object of names and values, of which lists are repeated."""
    query = given.get("query", "")
    if isinstance(query, dict):
        for name, value in query.items():
            if not all(map(_is_plain, value if isinstance(value, list) else [value])):
                raise BadLine(f"query has {name[:80]!r}: {value!r:.80}, not a text, a number, or a list of these")
        try:
            return urlencode(query, doseq=True)
        except UnicodeEncodeError:
            raise BadLine("query holds half of a character") from None
    return quote(_text(given, "query", ""), safe="!$%&'()*+,-./:;=?@[]_|~")


def _is_plain(value: object) -> bool:
    """Whether there is one way to write a value in a query: there is none for true, false and null."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _headers(given: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    headers = given.get("headers", {})
    if not isinstance(headers, dict):
        raise BadLine(f"headers is {headers!r:.80}, not an object")
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
            raise BadLine(f"the header {name[:80]!r} is not one that a log may set")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise BadLine(f"the header {name} has a value that cannot be sent")
    return tuple(headers.items())


def _body(given: dict[str, Any]) -> bytes:
    if "body" in given and "body_base64" in given:
        raise BadLine("it has a body and a body_base64")
    if "body_base64" in given:
        try:
            return base64.b64decode(_text(given, "body_base64", ""), validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadLine(f"body_base64 is not base64: {error}") from None
    body = given.get("body", "")
    if not isinstance(body, str):
        return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode()
    return _text(given, "body", "").encode()


def _expires(given: dict[str, Any]) -> float | None:
    value = given.get("expires_at")
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise BadLine(f"expires_at is {value!r:.80}, not seconds since 1970")

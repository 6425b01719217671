"""Reads the records of one page of the source: a body that is in a file and known to be whole."""

import csv
import io
import operator
import re
from collections.abc import Iterator
from types import ModuleType
from typing import IO, Literal

import ijson
from ijson.backends import python as careful

from snk.core.canonical import Digest
from snk.pipeline.framefile import Json, loads
from snk.pipeline.mapping import INAPPLICABLE, Lookup, NoUids, Unfit, compiled, dumps

Format = Literal["json", "jsonl", "csv"]
Found = tuple[str, Json, bytes]
"""A record: its uid, itself, and the same as JSON in one line."""
MOST_WHOLE_BYTES = 8 * 2**20
"""A larger JSON document is read as a stream, so that it need not fit into memory."""
SHOWN_CHARACTERS = 80
CHUNK_BYTES = 2**20
csv.field_size_limit(MOST_WHOLE_BYTES)  # of Python; its default is less than texts may have
MOST_DIGITS = 4300
"""Python refuses longer whole numbers."""
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_EDGE = 16
"""Bytes at either end of a piece, where half of a pair may stand for itself alone."""
_HALF = re.compile(rb"(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]|\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])", re.DOTALL)
"""An escape that is half of a pair of surrogates."""
END = "$end"
"""The member of the line by which `snk serve` closes a frame."""


class NoPage(Exception):  # noqa: N818 - what it means is the caller's business
    """A body is not what the settings say."""


class Reading:
    """How pages are read.

    Attributes:
        form: of the body.
    """

    def __init__(self, form: Format, records: str, uid: str, cursor: str, count: str) -> None:
        """Compile the paths; the arguments are settings of the same names, and an empty path looks up nothing."""
        self.form = form
        self._records = records
        self._list = compiled(records)
        self._uid = compiled(uid)
        self._uid_path = uid
        self._cursor = compiled(cursor) if cursor else None
        self._count = compiled(count) if count else None

    def page(self, body: IO[bytes]) -> "Page":
        """A page, whose records are read when they are asked for."""
        return Page(self, body)

    def records(self, body: IO[bytes], told: "Page") -> Iterator[Found]:
        """The records of a body, and into ``told`` what else it says.

        Raises:
            NoPage: it is not of this form.
            NoUids: no record has a uid.
            Unfit: a record has none, and others do.
        """
        read = {"json": self._json, "jsonl": _jsonl, "csv": _csv}[self.form]
        known, unfit = False, None
        for number, (record, text) in enumerate(read(body, told)):
            try:
                uid = self._uid_of(record, number)
                known = True
            except Unfit as error:
                unfit = unfit or error
            if unfit and known:
                raise unfit
            if known:
                yield uid, record, text
        if unfit:
            raise NoUids(str(unfit))

    def _uid_of(self, record: Json, number: int) -> str:
        uid = _looked_up(self._uid, record)
        if isinstance(uid, str) and uid:
            return uid
        if isinstance(uid, int) and not isinstance(uid, bool):
            return str(uid)
        shown = "nothing" if uid is None else repr(uid)[:SHOWN_CHARACTERS]
        raise Unfit(f"record {number} has {shown} at {self._uid_path!r}, where a text or a whole number identifies it")

    def _json(self, body: IO[bytes], told: "Page") -> Iterator[tuple[Json, bytes]]:
        if _size(body) > MOST_WHOLE_BYTES:
            yield from self._stream(body)
            return
        try:
            document = loads(body.read().decode())
        except ValueError as error:
            raise NoPage(f"it is no JSON: {error}") from None
        records = _looked_up(self._list, document)
        if not isinstance(records, list):
            where = f"at {self._records!r}" if self._records else "in it"
            raise NoPage(f"there is no list {where}: {dumps(document).decode()[:SHOWN_CHARACTERS]}")
        cursor = self._cursor and _looked_up(self._cursor, document)
        told.cursor = str(cursor) if cursor not in (None, "", False) else None
        told.total = _total(self._count, document)
        for record in records:
            yield record, dumps(record)

    def _stream(self, body: IO[bytes]) -> Iterator[tuple[Json, bytes]]:
        """The records of a large document, whose other members are not looked at."""
        steps = self._records.split(".") if self._records else []
        if self._cursor or self._count or not all(step.isidentifier() for step in steps):
            hint = "only plain paths to records can be used for it, and neither a cursor nor a count"
            raise NoPage(f"it has more than {MOST_WHOLE_BYTES:,} bytes: {hint}")
        started = False
        try:
            parser = _parser(body)
            for prefix, event, _ in parser.parse(body):
                if prefix == self._records and event == "start_array":
                    started = True
                    break
            body.seek(0)
            for record in parser.items(body, ".".join([*steps, "item"])) if started else ():
                yield record, dumps(record)
        except (ijson.JSONError, ArithmeticError) as error:
            raise NoPage(f"it is no JSON: {error}") from None
        if not started:
            raise NoPage(f"there is no list at {self._records!r}")


class Page:
    """One page.

    Attributes:
        cursor: of the next page; None if there is none, or before all records were read.
        total: how many records the whole frame has; None if it does not tell.
        end: what the line that closes the frame says; None if there is none.
        count: how many records were read from it.
    """

    def __init__(self, reading: Reading, body: IO[bytes]) -> None:
        self._reading = reading
        self._body = body
        self.cursor: str | None = None
        self.total: int | None = None
        self.end: Digest | None = None
        self.count = 0

    def records(self) -> Iterator[Found]:
        """Its records; once.

        Raises:
            NoPage: the body is not what the settings say.
            Unfit: a record has no uid.
        """
        try:
            for found in self._reading.records(self._body, self):
                self.count += 1
                yield found
        except (ValueError, RecursionError) as error:
            raise NoPage(f"it cannot be read: {error}") from None


def _jsonl(body: IO[bytes], told: Page) -> Iterator[tuple[Json, bytes]]:
    for number, line in enumerate(body, 1):
        text = line.strip()
        if told.end:
            raise NoPage("something follows the line that closes it")
        if not text:
            continue
        try:
            record = loads(text.decode())
        except ValueError as error:
            raise NoPage(f"line {number} is no JSON: {error}") from None
        if isinstance(record, dict) and END in record and len(record) == 1:
            told.end = _closing(record[END])
        else:
            yield record, text


def _closing(end: Json) -> Digest:
    try:
        return Digest(operator.index(end["count"]), int(end["digest"], 16))
    except (KeyError, TypeError, ValueError):
        raise NoPage(f"the line that closes it has no count and digest: {str(end)[:SHOWN_CHARACTERS]}") from None


def _csv(body: IO[bytes], _: Page) -> Iterator[tuple[Json, bytes]]:
    rows = csv.reader(io.TextIOWrapper(body, "utf-8-sig", newline=""), strict=True)
    try:
        names = next(rows, None)
        if not names:
            raise NoPage("it has no line with the names of columns")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise NoPage(f"it has two columns {twice!r}")
        for row in rows:
            if row and len(row) != len(names):
                raise NoPage(f"line {rows.line_num} has {len(row)} fields, and there are {len(names)} columns")
            if row:
                record = dict(zip(names, row, strict=True))
                yield record, dumps(record)
    except (csv.Error, UnicodeDecodeError) as error:
        raise NoPage(f"line {rows.line_num} is no CSV: {error}") from None


def _looked_up(lookup: Lookup, value: Json) -> Json:
    try:
        return lookup(value)
    except INAPPLICABLE:
        return None


def _total(lookup: Lookup | None, document: Json) -> int | None:
    if lookup is None:
        return None
    total = _looked_up(lookup, document)
    if isinstance(total, bool) or not isinstance(total, int):
        raise NoPage(f"it should tell how many records there are, and tells {total!r}")
    return total


def _parser(body: IO[bytes]) -> ModuleType:
    """The fast parser; for numbers that end its process, and texts that it changes, the careful one."""
    parser: ModuleType = careful if _is_odd(body) else ijson
    body.seek(0)
    return parser


def _is_odd(body: IO[bytes]) -> bool:
    held, low = b"", 0
    while True:
        chunk = body.read(CHUNK_BYTES)
        held += chunk
        high = len(held) - (_EDGE if chunk else 0)
        if any(low <= half.start() < high for half in _HALF.finditer(held)):
            return True
        if held.translate(_DIGITS).find(b"0" * (MOST_DIGITS + 1)) >= 0:
            return True
        if not chunk:
            return False
        held, low = held[-MOST_DIGITS - 2 * _EDGE :], _EDGE


def _size(body: IO[bytes]) -> int:
    size = body.seek(0, io.SEEK_END)
    body.seek(0)
    return size

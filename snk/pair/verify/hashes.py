"""The hash of a row, computed from PostgreSQL's own 64-bit hashes of all copied columns.

Each value is hashed with a separate seed, which is the hash of the row's uuid and the column's number. A row's hash is
the exclusive or of these hashes. So nothing cancels out if two rows exchange their contents, or a row two of its
columns. The hash of a NULL is its seed. (One ``hash_record_extended`` of the row would be simpler, but half again as
slow, and for a single NULL it returns 0, whatever the seed.)

Two properties of PostgreSQL's hashes would make different values look equal, and are avoided:

- The hash of a bigint folds it to 32 bits to agree with the hash of an integer (``hashint8extended`` in hashfunc.c): 0
  and 2^32 + 1 collide. So a bigint is hashed as text.
- In a nondeterministic collation, texts that compare equal have equal hashes. So all text is hashed in collation "C".

Values without a plain type are hashed as text: many types have no hash function, and others return the same hash for
values that are written differently (1.0 and 1.00).

Two properties of databases with different encodings would make equal values look different, and are avoided:

- The same text consists of different bytes. So a text is hashed as its UTF8 bytes. A text with a character that UTF8
  lacks (only those that a server was found to hold are known, `Texts.strays`) is hashed as the bytes that it has in
  its database: no row of the other side is equal to it.
- Values sorted by bytes, such as the keys of a jsonb and the lexemes of a tsvector, are written in a different order.
  So such a value is hashed part by part, in no order, if it is not pure ASCII.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import DBAPIError

from snk.db.errors import plain, sqlstate
from snk.db.functions import balanced
from snk.pair.catalog.shape import Column
from snk.pair.table.synced import SyncedTable

HASHED_AS_THEY_ARE = (sa.SmallInteger, sa.Integer, sa.Boolean, sa.LargeBinary)
UTF8, NONE = "UTF8", "SQL_ASCII"
AS_IN_UTF8 = (UTF8, NONE)  # without an encoding, text is the bytes that clients sent, and SNK sends UTF8
UNTRANSLATABLE = "22P05"

Hashed = Callable[[sa.ColumnElement[str]], sa.ColumnElement[int]]
Cases = list[tuple[sa.ColumnElement[bool], sa.ColumnElement[int]]]


@dataclass(frozen=True, slots=True)
class Texts:
    """How one side's texts are hashed, so that equal texts on both sides have equal hashes.

    Attributes:
        encoding: encoding of this side's database.
        mixed: whether the other side's encoding has different bytes for the same text.
        strays: characters found in this database so far that UTF8 lacks.
    """

    encoding: str = UTF8
    mixed: bool = False
    strays: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, *encodings: str) -> "list[Texts]":
        """The texts of both sides, given their encodings."""
        mixed = len({UTF8 if encoding in AS_IN_UTF8 else encoding for encoding in encodings}) > 1
        return [cls(encoding, mixed) for encoding in encodings]

    @property
    def recoded(self) -> bool:
        """Whether texts are converted before hashing, because their bytes in this database are not UTF8."""
        return self.mixed and self.encoding not in AS_IN_UTF8

    @property
    def values(self) -> dict[str, Any]:
        """The parameters that a statement with such hashes needs."""
        return {"strays": self.strays} if self.recoded else {}

    def learned_from(self, error: BaseException | None) -> bool:
        """Whether an error reports a new character that UTF8 lacks; if so, the character is added to ``strays``."""
        if not (self.recoded and isinstance(error, DBAPIError) and sqlstate(error) == UNTRANSLATABLE):
            return False
        stray = bytes.fromhex("".join(re.findall(r"\b0x([0-9a-f]{2})\b", plain(error))))
        if not stray or stray in self.strays:
            return False
        self.strays.append(stray)
        return True

    def hashed(self, text: sa.ColumnElement[str], seed: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        """The hash of a text that contains only characters that UTF8 has."""
        if self.recoded:
            return _hash_as_it_is(self._bytes(text), seed)
        return sa.func.hashtextextended(sa.collate(text, "C"), seed)

    def sorted_by_bytes(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        """Whether the parts of a text may have another order on the other side, because it is not pure ASCII."""
        found = self._bytes(sa.func.replace(text, "\\", ""))  # encode() would escape the backslash, too
        return sa.func.octet_length(sa.func.encode(found, "escape")) > sa.func.octet_length(found)

    def size(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[int]:
        """How many bytes a text has after conversion; it is the same on both sides."""
        return sa.func.octet_length(self._bytes(text))

    def stray(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        """Whether a text contains one of the known characters that UTF8 lacks."""
        strays = sa.bindparam("strays", type_=ARRAY(sa.LargeBinary, dimensions=1))
        stray = sa.func.unnest(strays).table_valued("bytes", name="stray").render_derived()
        character = sa.func.convert_from(stray.c.bytes, self.encoding)
        held: sa.Select[Any] = (
            sa.select(sa.literal_column("1")).select_from(stray).where(sa.func.strpos(text, character) > 0)
        )
        return sa.and_(sa.func.cardinality(strays) > 0, held.exists())

    def hash_of_strays(self, text: sa.ColumnElement[str], seed: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        """The hash of a text with such a character; it differs from other texts' hashes, even for the same bytes."""
        other_seed = seed.bitwise_xor(sa.literal(-1, sa.BigInteger))
        return _hash_as_it_is(sa.func.convert_to(text, self.encoding), other_seed)

    def _bytes(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[bytes]:
        # Without an encoding, a database accepts any bytes, which may not be valid UTF8.
        return sa.func.convert_to(text, NONE if self.encoding == NONE else UTF8)


def row_hash(table: SyncedTable, texts: Texts) -> sa.ColumnElement[int]:
    """The 64-bit hash of a row."""
    others = [column for column in table.columns if column.name != table.uuid.name]
    hashes = [_hash_of(table, column, seed(table, number), texts) for number, column in enumerate(others, 1)]
    return balanced(lambda one, other: one.bitwise_xor(other), hashes or [seed(table, 0)])


def seed(table: SyncedTable, number: int) -> sa.ColumnElement[int]:
    """A hash of a row's uuid and a number."""
    return sa.func.uuid_hash_extended(table.uuid, sa.literal_column(str(number), sa.BigInteger))


def _hash_of(table: SyncedTable, column: Column, seed: sa.ColumnElement[int], texts: Texts) -> sa.ColumnElement[int]:
    """The hash of a column, in a form in which different values have different hashes."""
    value = table.table.c[column.name]
    cases: Cases = []
    hashed: sa.ColumnElement[int]
    if column.plain is sa.Uuid:
        hashed = sa.func.uuid_hash_extended(value, seed)
    elif column.plain in HASHED_AS_THEY_ARE:
        hashed = _hash_as_it_is(value, seed)
    elif column.plain is sa.BigInteger:
        hashed = Texts().hashed(sa.cast(value, sa.Text), seed)
    else:
        text = value if column.plain is sa.Text else sa.cast(value, sa.Text)
        cases, hashed = _odd(table, column, text, seed, texts), texts.hashed(text, seed)
    return sa.case((value.is_(None), seed), *cases, else_=hashed)


def _odd(
    table: SyncedTable, column: Column, text: sa.ColumnElement[str], seed: sa.ColumnElement[int], texts: Texts
) -> Cases:
    """The cases in which a value that is transferred as text is hashed differently: each condition with its hash."""
    cases: Cases = []
    if texts.recoded:
        cases.append((texts.stray(text), texts.hash_of_strays(text, seed)))
    if texts.mixed and (in_parts := _parts(table.table, column)):
        size = sa.cast(texts.size(text), sa.Text)
        parts = in_parts(lambda part: texts.hashed(part, seed)).bitwise_xor(texts.hashed(size, seed))
        may_be_sorted = texts.sorted_by_bytes(text)
        if not column.type_name.startswith("jsonb"):
            # An escape in a json may denote a character that the database cannot store.
            may_be_sorted = sa.and_(may_be_sorted, sa.func.strpos(text, "\\u") == 0)
        cases.append((may_be_sorted, parts))
    return cases


def _hash_as_it_is(value: sa.ColumnElement[Any], seed: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    return sa.func.hash_record_extended(sa.func.row(value), seed)  # there is no simpler way for all of them


def _parts(table: sa.FromClause, column: Column) -> Callable[[Hashed], sa.ColumnElement[int]] | None:
    """How to hash a value that may be sorted by its bytes, part by part; None for a type that does not sort."""
    value = table.c[column.name]
    if column.type_name == "tsvector":
        return lambda hashed: _hash_of_lexemes(table, value, hashed)
    # The names of user-defined types contain their schema.
    if column.type_name in ("jsonb", "jsonb[]") or "." in column.type_name.partition("(")[0]:
        return lambda hashed: _hash_of_leaves(table, sa.func.to_jsonb(value, type_=JSONB()), hashed)
    return None


def _hash_of_lexemes(table: sa.FromClause, value: sa.ColumnElement[Any], hashed: Hashed) -> sa.ColumnElement[int]:
    lexeme = sa.func.unnest(value).table_valued("word", "positions", "weights", name="lexeme").render_derived()
    words = sa.func.concat_ws(" ", lexeme.c.word, lexeme.c.positions, lexeme.c.weights, type_=sa.Text())
    return sa.select(sa.func.bit_xor(hashed(words))).select_from(lexeme).correlate(table).scalar_subquery()


def _hash_of_leaves(table: sa.FromClause, document: sa.ColumnElement[Any], hashed: Hashed) -> sa.ColumnElement[int]:
    """The exclusive or of the hashes of all leaves of a document, each hashed with its path."""
    top = sa.select(sa.literal_column("''", sa.Text).label("path"), document.label("value"))
    node = top.correlate(table).cte("node", recursive=True, nesting=True)
    kind = sa.func.jsonb_typeof(node.c.value)
    member = (
        sa.func.jsonb_each(sa.case((kind == "object", node.c.value)))
        .table_valued(sa.column("key", sa.Text), sa.column("value", JSONB), name="member")
        .render_derived()
    )
    item = (
        sa.func.jsonb_array_elements(sa.case((kind == "array", node.c.value)))
        .table_valued(sa.column("value", JSONB), with_ordinality="number", name="item")
        .render_derived()
    )
    key = sa.cast(sa.func.to_jsonb(member.c.key), sa.Text)
    below = sa.union_all(
        sa.select(node.c.path.concat(".").concat(key).label("path"), member.c.value.label("value")),
        sa.select(node.c.path.concat("/").concat(sa.cast(item.c.number, sa.Text)), item.c.value),
    ).lateral("below")
    node = node.union_all(sa.select(below.c.path, below.c.value).select_from(node.join(below, sa.true())))
    text, kind = sa.cast(node.c.value, sa.Text), sa.func.jsonb_typeof(node.c.value)
    leaf = sa.or_(sa.and_(kind != "object", kind != "array"), text == "{}", text == "[]")
    return (
        sa.select(sa.func.bit_xor(hashed(node.c.path.concat(" ").concat(text))))
        .where(leaf)
        .correlate(table)
        .scalar_subquery()
    )

"""The hash of a row, made of PostgreSQL's own 64-bit hashes of all copied columns.

Each value is hashed with a seed of its own, the hash of the row's uuid and the column's number, and a row's hash is
the exclusive or of these. So nothing cancels out when two rows exchange their contents, or a row two of its columns. A
NULL counts as its seed. (One ``hash_record_extended`` of the row would be simpler, and slower by half. Of a NULL alone
it is 0, whatever the seed.)

Two properties of PostgreSQL's hashes would let different values look equal, and are avoided:

- The hash of a bigint folds it to 32 bits to agree with that of an integer (``hashint8extended`` in hashfunc.c): 0 and
  2^32 + 1 collide. So a bigint is hashed as text.
- Text in a nondeterministic collation hashes alike when it compares alike. So all text is hashed in collation "C".

Values without a plain type are hashed as text: many types have no hash, and others hash alike what is written
differently (1.0 and 1.00).

Two properties of databases with different encodings would let equal values look different, and are avoided:

- The same text is other bytes. So it is hashed as the bytes that it has in UTF8. Characters that UTF8 lacks (of those
  that a server was found to hold, `Texts.strays`) leave a text as the bytes that it has there: no row of the other side
  is equal to it.
- What is sorted by its bytes, such as the keys of a jsonb and the lexemes of a tsvector, is written in another order.
  So what is not ASCII there is hashed part by part, in no order.
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
AS_IN_UTF8 = (UTF8, NONE)  # without an encoding, text is what clients sent, and SNK sends UTF8
UNTRANSLATABLE = "22P05"

Hashed = Callable[[sa.ColumnElement[str]], sa.ColumnElement[int]]
Cases = list[tuple[sa.ColumnElement[bool], sa.ColumnElement[int]]]


@dataclass(frozen=True, slots=True)
class Texts:
    """How one side's texts are hashed, so that equal ones on both sides have equal hashes.

    Attributes:
        encoding: of this side's database.
        mixed: that of the other side has other bytes for the same text.
        strays: characters of this database that UTF8 lacks, as far as they were met.
    """

    encoding: str = UTF8
    mixed: bool = False
    strays: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, *encodings: str) -> "list[Texts]":
        """Those of both sides."""
        mixed = len({UTF8 if encoding in AS_IN_UTF8 else encoding for encoding in encodings}) > 1
        return [cls(encoding, mixed) for encoding in encodings]

    @property
    def recoded(self) -> bool:
        """Whether texts are hashed as other bytes than they have in this database."""
        return self.mixed and self.encoding not in AS_IN_UTF8

    @property
    def values(self) -> dict[str, Any]:
        """What a statement with such hashes is to be given."""
        return {"strays": self.strays} if self.recoded else {}

    def met(self, error: BaseException | None) -> bool:
        """Whether an error speaks of a character that UTF8 lacks, and that was not known yet. From now on it is."""
        if not (self.recoded and isinstance(error, DBAPIError) and sqlstate(error) == UNTRANSLATABLE):
            return False
        stray = bytes.fromhex("".join(re.findall(r"\b0x([0-9a-f]{2})\b", plain(error))))
        if not stray or stray in self.strays:
            return False
        self.strays.append(stray)
        return True

    def hashed(self, text: sa.ColumnElement[str], seed: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        """The hash of a text, none of whose characters UTF8 lacks."""
        if self.recoded:
            return _hash_as_it_is(self._bytes(text), seed)
        return sa.func.hashtextextended(sa.collate(text, "C"), seed)

    def sorted_by_bytes(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        """Whether the order of what a text lists may be another one on the other side: not all of it is ASCII."""
        found = self._bytes(sa.func.replace(text, "\\", ""))  # which would be escaped, too
        return sa.func.octet_length(sa.func.encode(found, "escape")) > sa.func.octet_length(found)

    def size(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[int]:
        """How many bytes a text has, the same on both sides."""
        return sa.func.octet_length(self._bytes(text))

    def stray(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        """Whether a text holds a character that UTF8 is known to lack."""
        strays = sa.bindparam("strays", type_=ARRAY(sa.LargeBinary, dimensions=1))
        stray = sa.func.unnest(strays).table_valued("bytes", name="stray").render_derived()
        character = sa.func.convert_from(stray.c.bytes, self.encoding)
        held: sa.Select[Any] = (
            sa.select(sa.literal_column("1")).select_from(stray).where(sa.func.strpos(text, character) > 0)
        )
        return sa.and_(sa.func.cardinality(strays) > 0, held.exists())

    def hash_of_strays(self, text: sa.ColumnElement[str], seed: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        """The hash of a text that holds such a character; that of no other text, whatever its bytes."""
        other_seed = seed.bitwise_xor(sa.literal(-1, sa.BigInteger))
        return _hash_as_it_is(sa.func.convert_to(text, self.encoding), other_seed)

    def _bytes(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[bytes]:
        # Without an encoding any bytes are taken; they are no UTF8, perhaps.
        return sa.func.convert_to(text, NONE if self.encoding == NONE else UTF8)


def row_hash(table: SyncedTable, texts: Texts) -> sa.ColumnElement[int]:
    """The 64-bit hash of a row."""
    others = [column for column in table.columns if column.name != table.uuid.name]
    hashes = [_hash_of(table, column, seed(table, number), texts) for number, column in enumerate(others, 1)]
    return balanced(lambda one, other: one.bitwise_xor(other), hashes or [seed(table, 0)])


def seed(table: SyncedTable, number: int) -> sa.ColumnElement[int]:
    """A hash of a row's uuid alone, and of a number."""
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
    """Of values that travel as text, those that are not hashed as that: when, and how."""
    cases: Cases = []
    if texts.recoded:
        cases.append((texts.stray(text), texts.hash_of_strays(text, seed)))
    if texts.mixed and (in_parts := _parts(table.table, column)):
        size = sa.cast(texts.size(text), sa.Text)
        parts = in_parts(lambda part: texts.hashed(part, seed)).bitwise_xor(texts.hashed(size, seed))
        may_be_sorted = texts.sorted_by_bytes(text)
        if not column.type_name.startswith("jsonb"):
            # An escape in a json may stand for a character that the database cannot hold.
            may_be_sorted = sa.and_(may_be_sorted, sa.func.strpos(text, "\\u") == 0)
        cases.append((may_be_sorted, parts))
    return cases


def _hash_as_it_is(value: sa.ColumnElement[Any], seed: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    return sa.func.hash_record_extended(sa.func.row(value), seed)  # there is no simpler way for all of them


def _parts(table: sa.FromClause, column: Column) -> Callable[[Hashed], sa.ColumnElement[int]] | None:
    """How to hash what may be sorted by its bytes part by part; None for a type that does not sort."""
    value = table.c[column.name]
    if column.type_name == "tsvector":
        return lambda hashed: _hash_of_lexemes(table, value, hashed)
    # The types of others are written with their schema.
    if column.type_name in ("jsonb", "jsonb[]") or "." in column.type_name.partition("(")[0]:
        return lambda hashed: _hash_of_leaves(table, sa.func.to_jsonb(value, type_=JSONB()), hashed)
    return None


def _hash_of_lexemes(table: sa.FromClause, value: sa.ColumnElement[Any], hashed: Hashed) -> sa.ColumnElement[int]:
    lexeme = sa.func.unnest(value).table_valued("word", "positions", "weights", name="lexeme").render_derived()
    words = sa.func.concat_ws(" ", lexeme.c.word, lexeme.c.positions, lexeme.c.weights, type_=sa.Text())
    return sa.select(sa.func.bit_xor(hashed(words))).select_from(lexeme).correlate(table).scalar_subquery()


def _hash_of_leaves(table: sa.FromClause, document: sa.ColumnElement[Any], hashed: Hashed) -> sa.ColumnElement[int]:
    """The exclusive or of the hashes of all that a document holds, each with its path."""
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

"""The uids of a frame, kept as long as the frame or a neighbour of it is looked at again.

A file holds a header with a check sum, then one entry for each uid, sorted: the first 16 bytes of the uid's SHA-256 and
the first 8 of its record's digest. It is read by buckets, which are the entries with the same first byte, so a frame of
a million records is never in memory as a whole. Two uids are taken for the same only if 128 bits of their hashes are.
"""

import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from zlib import crc32

from snk.core.canonical import DIGEST_BYTES
from snk.pipeline.space import replace

MAGIC = b"SNKSEEN2"
BUCKETS = 256
_HEADER = struct.Struct(f">I{BUCKETS + 1}Q")
_SUMMED_FROM = len(MAGIC) + 4
"""The check sum stands before what it is of."""
_START = _SUMMED_FROM + _HEADER.size
BLOCK_BYTES = 64 * 1024
MOST_HELD_BYTES = 256 * 1024
"""A larger file is opened again for each bucket, so that it is never in memory as a whole."""
FEW = 10_000
"""So many entries are looked at together; buckets would cost more than they save."""
UID_BYTES, CONTENT_BYTES, LINE_BYTES = 16, 8, 4
ENTRY_BYTES = UID_BYTES + CONTENT_BYTES
_GATHERED_BYTES = ENTRY_BYTES + LINE_BYTES


class Damaged(Exception):  # noqa: N818 - what it means is the caller's business
    """A file does not hold what it should."""


class Seen:
    """The uids in one file.

    Attributes:
        parts: how many portions of its frame are in it: the frame itself, and its supplements.
    """

    def __init__(self, file: Path) -> None:
        """Read the header.

        Raises:
            FileNotFoundError: there is no such file.
            Damaged: it is not whole.
        """
        self._file = file
        with file.open("rb") as opened:
            head = opened.read(_START)
            size = os.fstat(opened.fileno()).st_size
            self._body = opened.read() if size <= MOST_HELD_BYTES else None
        if len(head) < _START or not head.startswith(MAGIC):
            raise Damaged(f"{file.name} has no header")
        self._check_sum = int.from_bytes(head[len(MAGIC) : _SUMMED_FROM])
        self.parts, *self._offsets = _HEADER.unpack(head[_SUMMED_FROM:])
        if size != _START + self._offsets[-1] * ENTRY_BYTES:
            raise Damaged(f"{file.name} is not whole")

    def __len__(self) -> int:
        return int(self._offsets[-1])

    def check(self) -> None:
        """See whether it holds what was written, which a crash of the machine may have prevented.

        Raises:
            Damaged: it does not.
        """
        with self._file.open("rb") as opened:
            opened.seek(_SUMMED_FROM)
            found = 0
            while block := opened.read(BLOCK_BYTES):
                found = crc32(block, found)
        if found != self._check_sum:
            raise Damaged(f"the check sum of {self._file.name} is wrong")

    def bucket(self, number: int) -> bytes:
        """The entries whose uids' hashes start with this byte."""
        return self._entries(self._offsets[number], self._offsets[number + 1])

    def all(self) -> bytes:
        """All entries."""
        return self._entries(0, len(self))

    def _entries(self, low: int, high: int) -> bytes:
        if low == high:
            return b""
        if self._body is not None:
            return self._body[low * ENTRY_BYTES : high * ENTRY_BYTES]
        with self._file.open("rb") as opened:
            opened.seek(_START + low * ENTRY_BYTES)
            return opened.read((high - low) * ENTRY_BYTES)


@dataclass(slots=True)
class Settled:
    """What became of the records of one pull.

    Attributes:
        keep: for each line, 1 if it is new.
        new: how many are.
        doubled: records that were there before, in this frame or a neighbour, as they are.
        changed: records whose uid was there before with other content.
        twice: the line of a record whose uid is in the same pull with other content; None if there is none.
    """

    keep: bytearray
    new: int = 0
    doubled: int = 0
    changed: int = 0
    twice: int | None = None


class Gathered:
    """The uids of one pull, in the order of its lines; in buckets once they are many."""

    def __init__(self) -> None:
        self._few = bytearray()
        self._buckets: list[bytearray] = []
        self.lines = 0

    def add(self, uid: str, digest: int) -> None:
        """The record of the next line."""
        key = sha256(uid.encode("utf-8", "surrogatepass")).digest()[:UID_BYTES]
        content = digest.to_bytes(DIGEST_BYTES)[:CONTENT_BYTES]
        group = self._buckets[key[0]] if self._buckets else self._few
        group += key + content + self.lines.to_bytes(LINE_BYTES)
        self.lines += 1
        if self.lines == FEW:
            self._spread()

    def settle(self, before: Sequence[Seen]) -> Settled:
        """Tell new records from those that were there before.

        Args:
            before: what was pulled before, of this frame and of its neighbours.
        """
        settled = Settled(bytearray(self.lines))
        if self._are_few(before):
            _settle(settled, bytes(self._few), [seen.all() for seen in before])
        else:
            for number, bucket in enumerate(self._buckets):
                _settle(settled, bytes(bucket), [seen.bucket(number) for seen in before])
        return settled

    def write(self, file: Path, parts: int, keep: bytearray, before: Seen | None) -> int:
        """Write the uids of the lines that are kept, and those of the same frame from before; return how many.

        The file is forced to disk only if it replaces another one.

        Args:
            file: the frame's.
            parts: how many of its portions are in it then.
            keep: for each line, whether it is kept.
            before: what the file holds now.
        """
        old = [before] if before else []
        if self._are_few(old):
            counts, body = _sorted(self._few, keep, (seen.all() for seen in old))
        else:
            sorts = [
                _sorted(bucket, keep, (seen.bucket(number) for seen in old))
                for number, bucket in enumerate(self._buckets)
            ]
            counts, body = sum((each for each, _ in sorts), Counter()), b"".join(each for _, each in sorts)
        head = _HEADER.pack(parts, 0, *accumulate(counts[number] for number in range(BUCKETS)))
        replace(file, MAGIC, crc32(body, crc32(head)).to_bytes(4), head, body, force=before is not None)
        return len(body) // ENTRY_BYTES

    def _are_few(self, before: Sequence[Seen]) -> bool:
        """Whether these and those from before are few; if not, these are in buckets then."""
        if not self._buckets and sum(map(len, before)) > FEW:
            self._spread()
        return not self._buckets

    def _spread(self) -> None:
        self._buckets = [bytearray() for _ in range(BUCKETS)]
        for at in range(0, len(self._few), _GATHERED_BYTES):
            self._buckets[self._few[at]] += self._few[at : at + _GATHERED_BYTES]
        self._few.clear()


def _settle(settled: Settled, group: bytes, before: Sequence[bytes]) -> None:
    """Tell new records of one group from those from before, and from each other."""
    keys = _keys(group, _GATHERED_BYTES)
    if len(keys) * _GATHERED_BYTES == len(group) and all(keys.isdisjoint(_keys(old, ENTRY_BYTES)) for old in before):
        settled.new += len(keys)  # as nearly always
        for at in range(ENTRY_BYTES, len(group), _GATHERED_BYTES):
            settled.keep[int.from_bytes(group[at : at + LINE_BYTES])] = 1
        return
    known, here = _contents(before), dict[bytes, bytes]()
    for key, content, line in _entries(group):
        if key in known:
            settled.doubled += content == known[key]
            settled.changed += content != known[key]
        elif key in here:
            settled.doubled += content == here[key]
            if content != here[key]:
                settled.twice = line
        else:
            here[key] = content
            settled.keep[line] = 1
            settled.new += 1


def _keys(entries: bytes, size: int) -> set[bytes]:
    return {entries[at : at + UID_BYTES] for at in range(0, len(entries), size)}


def _sorted(group: bytes | bytearray, keep: bytearray, before: Iterable[bytes]) -> tuple[Counter[int], bytes]:
    """The entries that are kept, and those from before, sorted; and how many there are of each first byte."""
    held = bytes(group)
    made = [held[at : at + _GATHERED_BYTES] for at in range(0, len(held), _GATHERED_BYTES)]
    if 0 in keep:
        made = [each for each in made if keep[int.from_bytes(each[ENTRY_BYTES:])]]
    entries = [old[at : at + ENTRY_BYTES] for old in before for at in range(0, len(old), ENTRY_BYTES)]
    entries += [each[:ENTRY_BYTES] for each in made]
    entries.sort()
    return Counter(map(itemgetter(0), entries)), b"".join(entries)


def _contents(buckets: Iterable[bytes]) -> dict[bytes, bytes]:
    known = {}
    for bucket in buckets:
        for at in range(0, len(bucket), ENTRY_BYTES):
            known[bucket[at : at + UID_BYTES]] = bucket[at + UID_BYTES : at + ENTRY_BYTES]
    return known


def _entries(group: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    for at in range(0, len(group), _GATHERED_BYTES):
        content, line = at + UID_BYTES, at + ENTRY_BYTES
        yield group[at:content], group[content:line], int.from_bytes(group[line : at + _GATHERED_BYTES])

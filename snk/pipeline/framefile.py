"""The file of a pulled frame: a line for each record, and a last line with their count and digest.

A record's line is its uid as a JSON text, its digest, and the record as JSON, with tabs between. The last line is a
JSON object with the check sum of all others. A file has its name only when it is whole and on disk, so a file without a
proper last line is damaged.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from decimal import Decimal
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import IO, Any, NamedTuple
from zlib import crc32

from snk.core.canonical import Digest
from snk.digests import exact_digest
from snk.files.atomic import sync_folder
from snk.pipeline.seen import Damaged, Gathered

Json = Any
"""What JSON holds; numbers with a fraction are ``Decimal``, so that no digit is lost."""
_TAB = b"\t"
MOST_END_BYTES = 1024
BLOCK_BYTES = 256 * 1024
"""So much is written at once: with each block a thread lets others run, and may have to wait until it goes on."""


@dataclass(frozen=True, slots=True)
class End:
    """The last line.

    Attributes:
        frame: where the frame starts.
        part: 0 for the frame itself, or the number of the supplement.
        count: how many records there are.
        digest: of them, as the source has them; see `snk.core.canonical`.
        age_seconds: how long the frame had ended when it was pulled.
        again: whether these are all records of the frame, to be sent once more, and not what came late.
        suffix: what their Idempotency-Keys end with.
        check_sum: CRC-32 of their lines; `Making.finish` sets it.
    """

    frame: str
    part: int
    count: int
    digest: str
    age_seconds: float
    again: bool = False
    suffix: str = ""
    check_sum: int = 0


class Making:
    """A frame that is being written, under a name that nobody reads.

    Attributes:
        digest: of the records so far.
        check_sum: of their lines.
        gathered: their uids.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._beside = file.with_name(f".{file.name}")
        self._opened = self._beside.open("wb", BLOCK_BYTES)
        self.digest = Digest()
        self.check_sum = 0
        self.gathered = Gathered()

    def add(self, uid: str, record: Json, text: bytes) -> None:
        """One more record.

        Args:
            uid: the text that identifies it.
            record: as JSON.
            text: the same in one line.
        """
        digest = exact_digest(record)
        self.digest.add(digest)
        self.gathered.add(uid, digest)
        line = b"%b\t%032x\t%b\n" % (encode_basestring_ascii(uid).encode(), digest, text)
        self.check_sum = crc32(line, self.check_sum)
        self._opened.write(line)

    def keep(self, wanted: bytearray) -> None:
        """Leave out the lines that are not wanted."""
        self._opened.close()
        digest, check_sum = Digest(), 0
        other = self._beside.with_suffix(".kept")
        with self._beside.open("rb") as lines, other.open("wb", BLOCK_BYTES) as kept:
            for number, line in enumerate(lines):
                if wanted[number]:
                    digest.add(int(line.split(_TAB, 2)[1], 16))
                    check_sum = crc32(line, check_sum)
                    kept.write(line)
        other.replace(self._beside)
        self.digest, self.check_sum = digest, check_sum
        self._opened = self._beside.open("ab")

    def finish(self, end: End) -> None:
        """Write the last line, force all to disk, and give the file its name."""
        self._opened.write(json.dumps({**asdict(end), "check_sum": self.check_sum}).encode() + b"\n")
        self._opened.flush()
        os.fsync(self._opened.fileno())
        self._opened.close()
        self._beside.replace(self._file)
        sync_folder(self._file.parent)

    def discard(self) -> None:
        """Remove what was written; nothing if it has its name already."""
        with suppress(OSError):
            self._opened.close()
        for file in (self._beside, self._beside.with_suffix(".kept")):
            with suppress(OSError):
                file.unlink()


class Line(NamedTuple):
    """One record of a frame.

    Attributes:
        number: counted from 0.
        uid: what identifies it.
        digest: of the record.
        text: the record as JSON.
    """

    number: int
    uid: str
    digest: int
    text: bytes


def lines(file: Path) -> Iterator[Line | End]:
    """The records of a frame, and its end.

    Raises:
        Damaged: a line is not as it should be, or there is no end.
        FileNotFoundError: there is no such file.
    """
    check_sum = 0
    with file.open("rb") as opened:
        for number, line in enumerate(opened):
            if line.startswith(b"{"):
                yield _end(line, number, check_sum, opened)
                return
            if not line.endswith(b"\n"):
                break
            check_sum = crc32(line, check_sum)
            try:
                uid, digest, text = line.split(_TAB, 2)
                yield Line(number, _UID.decode(uid.decode()), int(digest, 16), text[:-1])
            except ValueError:
                break
    raise Damaged(f"{file.name} is not whole")


def last_line(file: Path) -> End:
    """The end of a frame, without its records.

    Raises:
        Damaged: there is none.
        OSError: the file cannot be read.
    """
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - MOST_END_BYTES))
        last = opened.read().splitlines()[-1:]
    try:
        return End(**json.loads(last[0]))
    except (IndexError, ValueError, TypeError):
        raise Damaged(f"{file.name} is not whole") from None


def _end(line: bytes, count: int, check_sum: int, rest: IO[bytes]) -> End:
    try:
        end = End(**json.loads(line))
    except (ValueError, TypeError):
        raise Damaged("the last line cannot be read") from None
    if end.count != count or rest.read(1):
        raise Damaged(f"it has {count} records, and should have {end.count}")
    if end.check_sum != check_sum:
        raise Damaged("its check sum is wrong")
    return end


def loads(text: bytes | str) -> Json:
    """Read JSON so that numbers keep all their digits.

    Raises:
        ValueError: it is no JSON, or more than Python can hold: nested too deeply, or with too large an exponent.
    """
    whole = text if isinstance(text, str) else text.decode()
    try:
        try:
            value, end = _DECODER.raw_decode(whole)
        except ValueError:
            end = -1
        # The general way takes longer, because of spaces around it; it also tells what is wrong.
        return value if end == len(whole) else _DECODER.decode(whole)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ArithmeticError:
        raise ValueError("the exponent of a number is too large") from None


def _no_number(text: str) -> Json:
    raise ValueError(f"{text} is not a number of JSON")


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_number)  # json.loads makes one for each text
_UID = json.JSONDecoder()

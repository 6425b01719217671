"""Unpacks the body of an answer. What ends in the middle is noticed, which clients of HTTP do not do for gzip."""

import zlib

NOT_PACKED = ("", "identity")
GZIP = ("gzip", "x-gzip")
_WITH_HEADER = 16 + zlib.MAX_WBITS


class Packed(ValueError):  # noqa: N818 - what it means is the caller's business
    """A body cannot be unpacked."""


class Unpacking:
    """One body, piece by piece."""

    def __init__(self, encoding: str) -> None:
        """Begin.

        Args:
            encoding: the header Content-Encoding.

        Raises:
            Packed: it is none that can be unpacked.
        """
        name = encoding.strip().lower()
        if name not in (*NOT_PACKED, *GZIP):
            raise Packed(f"it is packed as {name!r}, and only gzip was asked for")
        self._gzip = zlib.decompressobj(_WITH_HEADER) if name in GZIP else None

    def piece(self, packed: bytes) -> bytes:
        """What the next piece holds.

        Raises:
            Packed: it is damaged.
        """
        if self._gzip is None:
            return packed
        found = []
        while packed:
            if self._gzip.eof:  # a file of gzip may have several members, one after the other
                self._gzip = zlib.decompressobj(_WITH_HEADER)
            try:
                found.append(self._gzip.decompress(packed))
            except zlib.error as error:
                raise Packed(f"it cannot be unpacked: {error}") from None
            packed = self._gzip.unused_data
        return b"".join(found)

    def finish(self) -> None:
        """It was all.

        Raises:
            Packed: it should go on.
        """
        if self._gzip is not None and not self._gzip.eof:
            raise Packed("it is cut short")

"""The binary record of hustdb: a head, packed and little-endian, and a value. Pure.

Source: the public source code of huststore (hustdb/sync and hustdb/ha).
"""

import struct
from typing import NamedTuple

from snk.handoff.request import BadLine

PUT, DEL, HSET, HDEL, SADD, SREM, ZADD, ZREM = range(1, 9)
TB_PUT, TB_UPDATE, TB_DELETE = 17, 18, 19

_START = struct.Struct("<IBII")  # head_len, method, ver, key_len
_MIDDLE = struct.Struct("<III")  # key_crc, ttl, tb_len
_END = struct.Struct("<IQb")  # tb_crc, score, opt
LEAST_HEAD = _START.size + _MIDDLE.size + _END.size


class Record(NamedTuple):
    """One write.

    Attributes:
        method: its number.
        ver: the version that the write gives to its key.
        key: any bytes.
        ttl: when it expires, in seconds since the epoch; 0 means never.
        tb: the table.
        opt: of ZADD: 0 replaces the score, anything else adds to it.
        value: what is written; records of sets may repeat their key here.
    """

    method: int
    ver: int
    key: bytes
    ttl: int = 0
    tb: bytes = b""
    score: int = 0
    opt: int = 0
    value: bytes = b""


def crc(data: bytes) -> int:
    """The check sum of the original, over bytes from 0 to 255: rotate right by one, add the byte, modulo 2**32."""
    total = 0
    for byte in data:
        total = ((total >> 1 | (total & 1) << 31) + byte) & 0xFFFFFFFF
    return total


def packed(record: Record) -> bytes:
    """The record as bytes."""
    head = LEAST_HEAD + len(record.key) + len(record.tb)
    return b"".join(
        (
            _START.pack(head, record.method, record.ver, len(record.key)),
            record.key,
            _MIDDLE.pack(crc(record.key), record.ttl, len(record.tb)),
            record.tb,
            _END.pack(crc(record.tb), record.score, record.opt),
            record.value,
        )
    )


def unpacked(data: bytes) -> Record:
    """The record that these bytes hold.

    Raises:
        BadLine: its lengths or check sums do not fit.
    """
    if len(data) < LEAST_HEAD:
        raise BadLine(f"the record has {len(data)} bytes, and its head alone has {LEAST_HEAD}")
    head, method, ver, key_length = _START.unpack_from(data)
    key_end = _START.size + key_length
    if head > len(data) or key_end + _MIDDLE.size + _END.size > head:
        raise BadLine(f"the head of {head} bytes does not fit a record of {len(data)} with a key of {key_length}")
    key = data[_START.size : key_end]
    key_crc, ttl, tb_length = _MIDDLE.unpack_from(data, key_end)
    tb_end = key_end + _MIDDLE.size + tb_length
    if tb_end + _END.size != head:
        raise BadLine(f"the head has {head} bytes, and its parts have {tb_end + _END.size}")
    tb = data[key_end + _MIDDLE.size : tb_end]
    tb_crc, score, opt = _END.unpack_from(data, tb_end)
    for name, text, told in (("key", key, key_crc), ("table", tb, tb_crc)):
        if (real := crc(text)) != told:
            raise BadLine(f"the check sum of the {name} is {told:#010x}, and should be {real:#010x}")
    return Record(method, ver, key, ttl, tb, score, opt, data[head:])

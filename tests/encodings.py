"""Pairs of databases that keep their text in different encodings."""

from collections.abc import Iterator
from contextlib import contextmanager

from snk.embedded.pair import EmbeddedPair
from tests.conftest import PairUrls, names, psql

# Beside UTF8: text that both can hold, and that is sorted by its bytes in another order, where there is any.
WORDS = {
    "LATIN1": ("café", "é", "ÿ"),
    "WIN1252": ("café … €", "é", "€"),
    "EUC_JP": ("日本語 ｶﾅ", "日", "本"),
    "SQL_ASCII": ("café … 日本", "é", "€"),
}


@contextmanager
def encoded_pair(servers: EmbeddedPair, *encodings: str) -> Iterator[PairUrls]:
    """A fresh database of an encoding on each server."""
    name = next(names)
    both = (servers.first, servers.second)
    for server, encoding in zip(both, encodings, strict=True):
        psql(server, f"create database {name} encoding '{encoding}' template template0 lc_collate 'C' lc_ctype 'C'")
    servers.redis.restart()
    first, second = (server.dsn.removesuffix("postgres") + name for server in both)
    yield PairUrls(first, second, servers.redis.dsn)
    for server in both:
        psql(server, f"drop database {name} with (force)")

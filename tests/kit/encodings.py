"""Pairs of databases that keep their text in different encodings."""

from contextlib import AbstractContextManager

from snk.pair.servers import EmbeddedPair
from tests.conftest import PairUrls, fresh_pair

# Beside UTF8: text that both can hold, and that is sorted by its bytes in another order, where there is any.
WORDS = {
    "LATIN1": ("café", "é", "ÿ"),
    "WIN1252": ("café … €", "é", "€"),
    "EUC_JP": ("日本語 ｶﾅ", "日", "本"),
    "SQL_ASCII": ("café … 日本", "é", "€"),
}


def encoded_pair(servers: EmbeddedPair, first: str, second: str) -> AbstractContextManager[PairUrls]:
    """A fresh database of an encoding on each server."""
    options = "encoding '{}' template template0 lc_collate 'C' lc_ctype 'C'"
    return fresh_pair(servers, (options.format(first), options.format(second)))

"""Where servers are reached. Pure: settings name origins, and need no client for that."""

from typing import NamedTuple

from yarl import URL


class Origin(NamedTuple):
    """Where a server is reached.

    Attributes:
        host: a name or an address; that of IPv6 with brackets or without.
    """

    scheme: str
    host: str
    port: int


def origin_of(url: URL) -> Origin:
    """Where the server of an address is reached."""
    return Origin(url.scheme, url.host or "", url.port or 0)

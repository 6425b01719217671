"""The pages of a process as they are shown below a prefix: links that lead to its pages lead there again. Pure.

Pages are made of templates that write links as ``href="/..."``, and whatever values they show has its quotes escaped.
So what looks like a link is one.
"""

import re

import orjson

_LINK = re.compile(r'(\s(?:href|src|action)=")/(?!/)')
_NAME = '<p class="name">'
_DATA = b"data: "


def page(text: str, prefix: str) -> str:
    """A page below a prefix such as ``/p/orders``, with a link back to all processes."""
    name = prefix.rpartition("/")[2]
    back = f'{_NAME}<a class="back" href="/">All processes</a> / <b>{name}</b> / '
    return _linked(text, prefix).replace(_NAME, back, 1)


def event(line: bytes, prefix: str) -> bytes:
    """A line of a stream of events: its data is a part of a page."""
    if not line.startswith(_DATA):
        return line
    told = orjson.loads(line.removeprefix(_DATA))
    return _DATA + orjson.dumps({**told, "html": _linked(told["html"], prefix)}) + b"\n"


def location(to: str, prefix: str) -> str:
    """Where a redirect leads."""
    return f"{prefix}{to}" if to.startswith("/") and not to.startswith("//") else to


def _linked(text: str, prefix: str) -> str:
    return _LINK.sub(rf"\g<1>{prefix}/", text)

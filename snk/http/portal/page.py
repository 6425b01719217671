"""What a system offers in its portal: pages, and actions that its forms ask for."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from snk.errors import SnkError

Look = Callable[[Request], Awaitable[Mapping[str, Any]]]
"""What a page shows, for a request: the values of its template. It may raise `SnkError`."""
Form = Mapping[str, str]
"""The fields of a form; each is there once."""


class NotThere(SnkError):  # noqa: N818 - it says what the thing is
    """What a page is about does not exist."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        path: with parameters as Starlette writes them, such as ``/tables/{table}``.
        title: of the window; the page itself is a template.
        template: its file.
        look: what it shows.
        parts: what stays up to date while somebody looks: templates ``parts/NAME.html``, from the same values.
        menu: its name in the menu; empty if it is not there.
    """

    path: str
    title: str
    template: str
    look: Look
    parts: Sequence[str] = ()
    menu: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an action.

    Attributes:
        text: one line that says it.
        to: the page that is shown next.
        ok: whether it was done.
    """

    text: str
    to: str
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a form does, by POST to a path.

    Attributes:
        do: does it. If it raises `SnkError`, that is shown on the page ``back``.
        back: the page whose form it is.
    """

    path: str
    do: Callable[[Form, str], Awaitable[Done]]
    back: str


@dataclass(frozen=True, slots=True)
class Deed:
    """The same, where it matters who asks for it, or where on this path.

    Attributes:
        path: with parameters, as that of a page.
        do: does it. ``request.state.who`` names the person.
    """

    path: str
    do: Callable[[Request, Form], Awaitable[Done]]

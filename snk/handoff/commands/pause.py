"""``snk handoff pause`` and ``snk handoff resume``: keep a backend from being sent anything, also across restarts."""

import sys

import typer

from snk.core.shown import plain
from snk.errors import ServiceUnfit, SettingsError
from snk.handoff.commands.common import HostPort, checked_backend, status_of
from snk.handoff.settings import Handoff, load_settings
from snk.handoff.state import State
from snk.options import Config


def pause(backend: HostPort, *, config: Config = None) -> None:
    """Send nothing to a backend until it is resumed. A running server notices within a second."""
    settings, name = load_settings(config), checked_backend(backend)
    try:
        State(settings.state).hold(name)
    except OSError as error:
        raise SettingsError(f"handoff.state is {str(settings.state)!r}: {error.strerror}") from None
    print(f"{name} is paused; `snk handoff resume {name}` takes it back")
    if not (settings.logs / name).is_dir():
        print(f"warning: {name} has no folder in {str(settings.logs)!r}; is the address right?", file=sys.stderr)


def resume(backend: HostPort, *, config: Config = None) -> None:
    """Take a pause back. Exit code 1 if there was none, or if an answer has paused the backend."""
    settings, name = load_settings(config), checked_backend(backend)
    try:
        was_paused = State(settings.state).resume(name)
    except OSError as error:
        raise SettingsError(f"handoff.state is {str(settings.state)!r}: {error.strerror}") from None
    if was_paused:
        print(f"{name} is resumed")
    if why := _paused_by_an_answer(settings, name):
        print(plain(f"{name} is paused by an answer, not by you: {why}"))
    elif not was_paused:
        print(f"{name} was not paused")
    if why or not was_paused:
        raise typer.Exit(1)


def _paused_by_an_answer(settings: Handoff, backend: str) -> str:
    """Why the running server sends nothing but probes; empty if it does, or no server runs."""
    try:
        known = status_of(settings)["backends"].get(backend, {})
    except ServiceUnfit:
        return ""
    return str(known["reason"]) if known.get("breaker") == "paused" else ""

"""``snk handoff pause`` and ``snk handoff resume``: keep a backend from being sent anything, also across restarts."""

import typer

from snk.errors import SettingsError
from snk.handoff.commands.common import Config, HostPort, checked_backend
from snk.handoff.settings import load_settings
from snk.handoff.state import State


def pause(backend: HostPort, *, config: Config = None) -> None:
    """Send nothing to a backend until it is resumed. A running server notices within a second."""
    settings, name = load_settings(config), checked_backend(backend)
    try:
        State(settings.state).hold(name)
    except OSError as error:
        raise SettingsError(f"handoff.state is {str(settings.state)!r}: {error.strerror}") from None
    print(f"{name} is paused; `snk handoff resume {name}` takes it back")


def resume(backend: HostPort, *, config: Config = None) -> None:
    """Take a pause back. Exit code 1 if the backend was not paused."""
    settings, name = load_settings(config), checked_backend(backend)
    if not State(settings.state).resume(name):
        print(f"{name} was not paused")
        raise typer.Exit(1)
    print(f"{name} is resumed")

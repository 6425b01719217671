"""``snk SERVICE token``: a JWT for a client of the service."""

import re
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from snk.errors import SettingsError
from snk.http.auth.credentials import SCOPE, TOKEN_SECONDS
from snk.http.auth.settings import KeySettings, check_scope
from snk.http.auth.tokens import MOST_NAME
from snk.http.commands.keys import folder_of
from snk.options import Config

Load = Callable[[Path | None], KeySettings]
Scopes = Callable[[Path | None], Collection[str]]


def token_command(service: str, load: Load, scopes: Scopes, command: str = "") -> Callable[..., None]:
    """The command that mints tokens of a service.

    Args:
        service: its name, as in ``SERVICE.auth.keys``.
        load: reads the settings of its keys from a file.
        scopes: all that a token may allow, by the file of settings.
        command: what it is called by; ``snk SERVICE`` if it is empty.
    """
    command = command or f"snk {service}"

    def token(
        *,
        scope: Annotated[
            list[str], typer.Option(help="What it allows, such as records:read; repeatable; * is everything.")
        ],
        subject: Annotated[str, typer.Option(help="Who uses it.")] = "snk",
        seconds: Annotated[int, typer.Option(help=f"How long it is valid; {TOKEN_SECONDS} at most.")] = TOKEN_SECONDS,
        config: Config = None,
    ) -> None:
        _check(scope, scopes(config))
        print(minted(service, load(config), Wanted(scope, subject, seconds), time.time(), command))

    token.__doc__ = f"Print a JWT that the service accepts, signed with the newest key of {service}.auth.keys."
    return token


def _check(scopes: Collection[str], known: Collection[str]) -> None:
    for scope in scopes:
        try:
            check_scope(scope, known)
        except ValueError as error:
            raise SettingsError(f"--scope is {scope!r}: {error}") from None


class Wanted(NamedTuple):
    """What a token is to say.

    Attributes:
        scopes: what it allows.
        subject: who uses it.
        seconds: how long it is valid.
    """

    scopes: list[str]
    subject: str
    seconds: int = TOKEN_SECONDS


def minted(service: str, auth: KeySettings, wanted: Wanted, now: float, command: str = "") -> str:
    """A JWT of a service's own issuer.

    Args:
        service: the service.
        auth: its settings.
        wanted: what it says.
        now: the time in seconds since 1970.
        command: what the service is called by; ``snk SERVICE`` if it is empty.

    Raises:
        SettingsError: a value would be refused by the service, or there is no key.
    """
    command = command or f"snk {service}"
    if not auth.keys:
        hint = f"Set it to a folder, such as /etc/snk/keys, and run `{command} keys rotate`"
        raise SettingsError(f"{service}.auth.keys is not set, so there is no key that signs", hint=hint)
    scopes, subject, seconds = wanted
    if not 1 <= seconds <= TOKEN_SECONDS:
        raise SettingsError(f"--seconds is {seconds}", hint=f"A token is valid for 1 to {TOKEN_SECONDS} seconds")
    if not subject.isprintable() or not 0 < len(subject) <= MOST_NAME:
        raise SettingsError(f"--subject is {subject!r}", hint=f"Use 1 to {MOST_NAME} printable characters")
    for scope in scopes:
        if not re.fullmatch(SCOPE, scope):
            raise SettingsError(f"--scope is {scope!r}", hint="Write one name, such as records:read; repeat the option")
    claims = {"iss": auth.issuer, "aud": auth.audience, "sub": subject, "scope": " ".join(scopes)}
    return folder_of(service, auth, command).signing().mint(claims, now, seconds)

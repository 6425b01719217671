"""``snk serve token``: a JWT for a client of the service."""

import re
import time
from pathlib import Path
from typing import Annotated

import typer

from snk.errors import SettingsError
from snk.http.auth import SCOPE, TOKEN_SECONDS
from snk.options import Config
from snk.serve.auth.keys import KeyFolder
from snk.serve.auth.settings import AuthSettings
from snk.serve.auth.tokens import MOST_NAME
from snk.serve.settings import load_settings


def token(
    *,
    scope: Annotated[
        list[str], typer.Option(help="What it allows, such as records:read; repeatable; * is everything.")
    ],
    subject: Annotated[str, typer.Option(help="Who uses it.")] = "snk",
    seconds: Annotated[int, typer.Option(help=f"How long it is valid; {TOKEN_SECONDS} at most.")] = TOKEN_SECONDS,
    config: Config = None,
) -> None:
    """Print a JWT that the service accepts, signed with the newest key of serve.auth.keys."""
    print(minted(load_settings(config).auth, scope, subject, seconds, time.time()))


def minted(auth: AuthSettings, scopes: list[str], subject: str, seconds: int, now: float) -> str:
    """A JWT of the service's own issuer.

    Args:
        auth: the settings.
        scopes: what it allows.
        subject: who uses it.
        seconds: how long it is valid.
        now: the time in seconds since 1970.

    Raises:
        SettingsError: a value would be refused by the service, or there is no key.
    """
    if not auth.keys:
        hint = "Set it to a folder, such as /etc/snk/keys, and run `snk serve keys rotate`"
        raise SettingsError("serve.auth.keys is not set, so there is no key that signs", hint=hint)
    if not 1 <= seconds <= TOKEN_SECONDS:
        raise SettingsError(f"--seconds is {seconds}", hint=f"A token is valid for 1 to {TOKEN_SECONDS} seconds")
    if not subject.isprintable() or not 0 < len(subject) <= MOST_NAME:
        raise SettingsError(f"--subject is {subject!r}", hint=f"Use 1 to {MOST_NAME} printable characters")
    for scope in scopes:
        if not re.fullmatch(SCOPE, scope):
            raise SettingsError(f"--scope is {scope!r}", hint="Write one name, such as records:read; repeat the option")
    claims = {"iss": auth.issuer, "aud": auth.audience, "sub": subject, "scope": " ".join(scopes)}
    return KeyFolder(Path(auth.keys), auth.algorithm).signing().mint(claims, now, seconds)

"""What a token must be like that clients send in a header."""

import re

from snk.errors import SettingsError

LEAST = 16
"""Characters."""


def check_token(name: str, token: str) -> None:
    """Refuse a token that is easy to guess, or that a header cannot contain.

    Args:
        name: the setting's name.
        token: its value, which no error repeats.

    Raises:
        SettingsError: what is wrong with it.
    """
    hint = f"Use at least {LEAST} ASCII characters, such as the output of `openssl rand -hex 32`"
    if len(token) < LEAST:
        raise SettingsError(f"{name} has {len(token)} characters", hint=hint)
    if not re.fullmatch(r"[!-~]+", token):
        raise SettingsError(f"{name} has characters that an HTTP header cannot contain", hint=hint)

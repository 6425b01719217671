"""What a token must be like that clients send in a header."""

import re

from snk.errors import SettingsError
from snk.settings import Secret, SettingsTable

LEAST = 16
"""Characters."""


class TokenSettings(SettingsTable):
    """A table of settings with the tokens of those who may do everything, and of those who may only look."""

    token: Secret | None = None
    view_token: Secret | None = None

    @property
    def operators_token(self) -> str | None:
        """The token of those who may do everything, if set."""
        return self.token.get_secret_value() if self.token else None

    @property
    def viewers_token(self) -> str | None:
        """The token of those who may only look, if set."""
        return self.view_token.get_secret_value() if self.view_token else None


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


def check_tokens(name: str, token: str | None, view_name: str, view_token: str | None) -> None:
    """Refuse tokens that are easy to guess, and one of viewers that does not keep them from doing everything.

    Args:
        name: the setting of operators.
        token: its value, if set.
        view_name: the setting of those who may only look.
        view_token: its value, if set.

    Raises:
        SettingsError: what is wrong with them.
    """
    if token is not None:
        check_token(name, token)
    if view_token is not None:
        check_token(view_name, view_token)
        if view_token == token:
            raise SettingsError(
                f"{view_name} is the same as {name}", hint="Who may only look needs a token of their own"
            )
        if token is None:
            hint = f"Set {name}, too, or everybody on this machine may do everything"
            raise SettingsError(f"{view_name} is set without {name}", hint=hint)

"""Tokens that are refused: those of viewers must be no key to everything."""

import pytest

from snk.errors import SettingsError
from snk.http.token import check_tokens

LONG, OTHER = "operator-token-0123", "viewer-token-012345"


@pytest.mark.parametrize(("token", "view_token"), [(None, None), (LONG, None), (LONG, OTHER)])
def test_tokens_that_fit_are_taken(token: str | None, view_token: str | None) -> None:
    check_tokens("token", token, "view_token", view_token)


@pytest.mark.parametrize(
    ("token", "view_token", "words"),
    [
        ("", None, "token has 0 characters"),
        ("short", OTHER, "^token has 5 characters"),
        (LONG, "short", "view_token has 5 characters"),
        (LONG, "", "view_token has 0 characters"),
        (LONG, LONG, "view_token is the same as token"),
        (None, OTHER, "view_token is set without token"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(token: str | None, view_token: str | None, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as raised:
        check_tokens("token", token, "view_token", view_token)
    assert LONG not in str(raised.value)

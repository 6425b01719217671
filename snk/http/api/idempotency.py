"""The header ``Idempotency-Key``, by which a request that is sent again is known."""

import re
from collections.abc import Sequence

from snk.http.api.problem import Problem

NAME = "Idempotency-Key"
KEY_CHARACTERS = 255
_KEY = re.compile(r"[ -~]+")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')


def idempotency_key(given: Sequence[str], what: str) -> str:
    """The key of a request: a structured field of the kind String (RFC 9651), or its characters without quotes.

    Args:
        given: the values of all headers of this name.
        what: with what a client sends a new key, for the message.

    Raises:
        Problem: there is none, or it is not one.
    """
    if not given:
        raise Problem(400, "key-missing", f"{NAME} is missing: send a new one with each {what}")
    text = given[0].strip()
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if len(given) > 1 or (text.startswith('"') and not quoted) or not _KEY.fullmatch(key) or len(key) > KEY_CHARACTERS:
        words = f"one text of 1 to {KEY_CHARACTERS} printable ASCII characters"
        raise Problem(400, "key-invalid", f"{NAME} is not {words}")
    return key

"""Asks the running sync server for its status."""

import json
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from snk.errors import ServiceUnfit

ASK_SECONDS = 5.0


def running_status(listens: str, port: int) -> dict[str, Any]:
    """The status of the running server.

    Args:
        listens: the address on which it listens.
        port: its port.

    Raises:
        ServiceUnfit: it does not answer, or something else does.
    """
    host = f"[{listens}]" if ":" in listens else listens
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - where it listens on all addresses
    url = f"http://{host}:{port}/status"
    try:
        with urllib.request.urlopen(url, timeout=ASK_SECONDS) as answer:
            found = json.load(answer)
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        hint = "Is `snk handoff run` running, with the same settings?"
        raise ServiceUnfit(f"The sync server does not answer at {url}: {why}", hint=hint) from None
    if not isinstance(found, dict) or not {"backends", "troubles"} <= found.keys():
        raise ServiceUnfit(f"What answers at {url} is not the sync server", hint="Set handoff.port to a free port")
    return found

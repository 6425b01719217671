"""What requests of pages ask for."""

from collections.abc import Mapping
from uuid import UUID

from snk.errors import SettingsError
from snk.pair.repair.actions import Label


def uuid_of(asked: Mapping[str, str]) -> str:
    """The uuid that a request names.

    Raises:
        SettingsError: it names none.
    """
    try:
        return str(UUID(asked.get("uuid", "")))
    except ValueError:
        raise SettingsError(f"{asked.get('uuid', '')[:100]!r} is not a uuid") from None


def kept(asked: Mapping[str, str]) -> Label:
    """The side whose row a request wants to keep.

    Raises:
        SettingsError: it names none.
    """
    match asked.get("keep"):
        case "first":
            return "first"
        case "second":
            return "second"
        case _:
            raise SettingsError("It is not said which row is kept", hint="Choose one on the page of conflicts")

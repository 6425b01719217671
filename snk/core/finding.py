"""What a doctor finds."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes:
        level: ``error`` prevents the work; a ``warning`` is something the user should know.
        subject: what was examined, such as ``first`` or ``public.records``.
        message: what was found.
        advice: what to do about it, or an empty string.
    """

    level: Level
    subject: str
    message: str
    advice: str = ""

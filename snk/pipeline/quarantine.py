"""Portions that are set aside with a reason, until a person has seen to it. Later frames go on."""

import json
from dataclasses import asdict, dataclass
from time import time

from snk.pipeline import space
from snk.pipeline.frame import Portion, written
from snk.pipeline.space import Folder


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a portion is set aside.

    Attributes:
        frame: where the frame starts.
        part: 0 for the frame itself, or the number of the supplement.
        reason: in words.
        uid: of the record that is to blame, if it is one.
        at: when, in UTC.
    """

    frame: str
    part: int
    reason: str
    uid: str = ""
    at: str = ""


class Quarantine:
    """What is set aside in one space; it is read again when it has to be known."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def add(self, portion: Portion, frame: str, reason: str, uid: str = "") -> None:
        """Set a portion aside.

        Raises:
            OSError: it cannot be written.
        """
        told = Reason(frame, portion.part, reason, uid, written(time()))
        space.replace(self._folder.file(portion), json.dumps(asdict(told), ensure_ascii=False).encode() + b"\n")

    def portions(self) -> frozenset[Portion]:
        """What is set aside now."""
        return frozenset(self._folder.portions())

    def reason(self, portion: Portion) -> Reason:
        """Why a portion is set aside.

        Raises:
            FileNotFoundError: it is not.
            ValueError: its file cannot be read.
        """
        return Reason(**json.loads(self._folder.file(portion).read_bytes()))

    def remove(self, portion: Portion) -> None:
        """Let a portion be tried again.

        Raises:
            FileNotFoundError: it is not set aside.
        """
        self._folder.file(portion).unlink()

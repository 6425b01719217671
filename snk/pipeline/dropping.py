"""Gives a portion up by hand: its Done file tells what was pushed of it, and that the rest was dropped."""

from contextlib import suppress
from pathlib import Path
from time import time

from snk.core.canonical import Digest
from snk.pipeline.again import granted, wished
from snk.pipeline.frame import Portion, written
from snk.pipeline.framefile import last_line
from snk.pipeline.proof import Done, Proofs
from snk.pipeline.quarantine import Quarantine, Reason
from snk.pipeline.seen import Damaged
from snk.pipeline.space import Space
from snk.pipeline.uids import UidFile


def drop_portion(space: Space, quarantine: Quarantine, portion: Portion, reason: Reason) -> None:
    """Write the Done file of a portion that is in quarantine, and let it out.

    Pull stores no frame that has a Done file, and push sends none, so both may run meanwhile. What was pushed of the
    portion is counted by its UID file; its digest is that of nothing, because it cannot be compared any more. If the
    portion was to be sent again, nothing is counted: its earlier proofs stand. What somebody has let out meanwhile is
    left alone, because push may be sending it.
    """
    if not _is_still_aside(quarantine, portion, reason):
        return
    count, frame, file = 0, space.frames.file(portion), space.uids.file(portion)
    if file.exists() and not _is_again(frame):
        uids = UidFile(file)
        count = uids.count()
        uids.close()
    done = Done(
        space.grid.iso(portion.frame),
        count,
        Digest().hex,
        portion.part,
        dropped=reason.reason or "by hand",
        done_at=written(time()),
    )
    Proofs(space).add(portion, done)
    file.unlink(missing_ok=True)
    space.doubts.file(portion).unlink(missing_ok=True)
    if not frame.exists() and (again := wished(space, portion.frame)):  # pull would try it again for ever
        granted(space, portion.frame, again)
    with suppress(FileNotFoundError):
        quarantine.remove(portion)


def _is_still_aside(quarantine: Quarantine, portion: Portion, reason: Reason) -> bool:
    """Whether a portion is in quarantine for the reason that was shown; one that cannot be read may be any."""
    try:
        return quarantine.reason(portion).at == reason.at
    except FileNotFoundError:
        return False
    except (ValueError, TypeError):
        return True


def _is_again(frame: Path) -> bool:
    """Whether a frame file holds what is sent once more."""
    with suppress(Damaged, OSError):
        return last_line(frame).again
    return False

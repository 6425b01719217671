"""Gives a portion up by hand: its Done file tells what was pushed of it, and that the rest was dropped."""

from time import time

from snk.core.canonical import Digest
from snk.pipeline.again import granted
from snk.pipeline.frame import Portion, written
from snk.pipeline.proof import Done, Proofs
from snk.pipeline.quarantine import Quarantine, Reason
from snk.pipeline.space import Space
from snk.pipeline.uids import UidFile


def drop_portion(space: Space, quarantine: Quarantine, portion: Portion, reason: Reason) -> None:
    """Write the Done file of a portion that is in quarantine, and let it out.

    Pull stores no frame that has a Done file, and push sends none, so both may run meanwhile. What was pushed of the
    portion is counted by its UID file; its digest is that of nothing, because it cannot be compared any more.
    """
    count = 0
    file = space.uids.file(portion)
    if file.exists():
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
    granted(space, portion.frame)
    quarantine.remove(portion)

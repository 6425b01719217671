"""The two spaces: folders through which pull and push meet. Each writes to its own, and only reads the other's.

::

    sss/frames/20261125T000000Z.jsonl       a pulled frame; with .1 before .jsonl, its first supplement
    sss/seen/20261125T000000Z.seen          the uids of a frame that is looked at again; .final once it is not
    sss/again/20261125T000000Z.json         a person wants a frame to be pulled and pushed once more
    sss/quarantine/20261125T000000Z.json    why a frame cannot be stored
    rss/uids/20261125T000000Z.uids          the uids that the receiving server acknowledged
    rss/uids/20261125T000000Z.doubts        which others it may have stored, too
    rss/done/20261125T000000Z.json          the proof of a frame; 20261125.jsonl holds those of a day
    rss/quarantine/20261125T000000Z.json    why a frame cannot be pushed

A name that starts with a dot is not finished.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep, time_ns

import structlog

from snk.errors import SettingsError
from snk.files.atomic import sync_folder
from snk.pipeline.frame import Grid, Portion

FRAME, SEEN, FINAL, UIDS, DOUBTS, DONE, DAY = ".jsonl", ".seen", ".final", ".uids", ".doubts", ".json", ".jsonl"
ALL_THE_SAME_SECONDS = 10.0
"""Changes of a folder are a hint when to look; what decides is that it is looked at in any case."""
STEP_NS = 100_000_000
"""A folder may change again within the same step of its clock, so what changed just now is looked at once more."""
SPARE = 10
"""So many times as long as a look took, no other is taken."""
PROBE_BYTES = 64 * 1024
RETRY_SECONDS = 0.1
WAIT_SECONDS = 10.0
"""A process that was killed, or whose parent was, may hold its space a little longer."""

log = structlog.get_logger()


class Folder:
    """Files of one kind, named after what they are about.

    Attributes:
        path: of the folder.
        suffix: of its files.
    """

    def __init__(self, path: Path, suffix: str, grid: Grid) -> None:
        self.path = path
        self.suffix = suffix
        self._grid = grid

    def file(self, portion: Portion) -> Path:
        """The file about this portion, whether it exists or not."""
        return self.path / f"{self._grid.name(portion)}{self.suffix}"

    def portions(self) -> set[Portion]:
        """What there are files about; whatever else lies there is left out."""
        try:
            names = os.listdir(self.path)  # noqa: PTH208 - for thousands
        except FileNotFoundError:
            return set()
        ours = (name.removesuffix(self.suffix) for name in names if name.endswith(self.suffix))
        return {portion for name in ours if (portion := self._grid.portion(name)) is not None}


class Space:
    """Both spaces below one folder."""

    def __init__(self, root: Path, grid: Grid) -> None:
        self.root = root
        self.grid = grid
        self.sss = root / "sss"
        self.rss = root / "rss"
        self.frames = Folder(self.sss / "frames", FRAME, grid)
        self.seen = Folder(self.sss / "seen", SEEN, grid)
        self.final = Folder(self.sss / "seen", FINAL, grid)
        self.again = Folder(self.sss / "again", DONE, grid)
        self.unfit = Folder(self.sss / "quarantine", DONE, grid)
        self.uids = Folder(self.rss / "uids", UIDS, grid)
        self.doubts = Folder(self.rss / "uids", DOUBTS, grid)
        self.done = Folder(self.rss / "done", DONE, grid)
        self.refused = Folder(self.rss / "quarantine", DONE, grid)

    def make(self, own: Path) -> None:
        """Create the folders of one's own space.

        Raises:
            SettingsError: they cannot be created.
        """
        names = ("frames", "seen", "again", "quarantine") if own == self.sss else ("uids", "done", "quarantine")
        try:
            for name in names:
                (own / name).mkdir(parents=True, exist_ok=True)
            sync_folder(own)
        except OSError as error:
            hint = "Name a folder in pipeline.space that this user may create or write to"
            raise SettingsError(f"{str(own)!r} cannot be created: {error.strerror}", hint=hint) from None

    def size(self) -> int:
        """Bytes that both spaces take on disk, as far as they can be read, without files that are not finished."""
        return sum(_sizes(self.root))


def _sizes(folder: Path) -> Iterator[int]:
    for path, _, files in os.walk(folder):
        for name in (each for each in files if not each.startswith(".")):
            with suppress(OSError):
                yield os.stat(os.path.join(path, name)).st_blocks * 512  # noqa: PTH118, PTH116 - for thousands


@contextmanager
def held(own: Path, what: str) -> Iterator[None]:
    """Hold a space for this process alone.

    Args:
        own: the space.
        what: the command, for the message.

    Raises:
        SettingsError: another process holds it.
    """
    descriptor = os.open(own / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = monotonic() + WAIT_SECONDS
        while not _locked(descriptor):
            if deadline - monotonic() > WAIT_SECONDS - RETRY_SECONDS:
                log.warning("space_in_use", space=str(own), effect="waits for its process to end")
            if monotonic() > deadline:
                hint = "End it first, or name another folder"
                raise SettingsError(f"Another `{what}` works in {str(own)!r}", hint=hint)
            sleep(RETRY_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return False
    return True


def replace(file: Path, *content: bytes | bytearray, force: bool = True) -> None:
    """Write a file beside its place and move it there.

    Args:
        file: its place.
        content: what it holds then, one after the other.
        force: whether it is forced to disk before, and its name after; without, a crash of the machine may leave
            anything, or nothing.

    Raises:
        OSError: it cannot be written; nothing has changed then.
    """
    beside = file.with_name(f".{file.name}")
    try:
        with beside.open("wb") as made:
            made.writelines(content)
            made.flush()
            if force:
                os.fsync(made.fileno())
        beside.replace(file)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
    if force:
        sync_folder(file.parent)


def probe(own: Path) -> None:
    """Try whether a space can be written again.

    Raises:
        OSError: it cannot.
    """
    file = own / "probe"
    replace(file, bytes(PROBE_BYTES))
    file.unlink()


class Look:
    """Tells when folders should be looked at again: when they have changed, and now and then all the same."""

    def __init__(self, *folders: Folder) -> None:
        self._folders = folders
        self._seen: tuple[int, ...] = ()
        self._at = self._rest_until = float("-inf")

    def took(self, seconds: float) -> None:
        """Looking took so long: then others are not made because of a hint for a while."""
        self._rest_until = monotonic() + SPARE * seconds

    def due(self) -> bool:
        """Whether to look now; if so, it counts as looked."""
        if monotonic() < self._rest_until:
            return False
        seen = tuple(_changed(folder.path) for folder in self._folders)
        if seen == self._seen and monotonic() - self._at < ALL_THE_SAME_SECONDS:
            return False
        fresh = any(time_ns() - at < STEP_NS for at in seen)
        self._seen, self._at = (() if fresh else seen), monotonic()
        return True


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0

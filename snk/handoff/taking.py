"""Copies old logs into the folder of a backend, each at once and whole."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from snk.errors import SettingsError
from snk.files.atomic import sync_folder
from snk.handoff.names import log_of, minute_of


def take(files: Sequence[Path], logs: Path, backend: str) -> Iterator[tuple[Path, Path]]:
    """Copy files, and say where each went. Those that follow get later names, so that their order is kept.

    Raises:
        SettingsError: a file cannot be read, or the folder cannot be written; what was copied before stays.
    """
    for file in files:
        if not (file.is_file() and os.access(file, os.R_OK)):
            raise SettingsError(f"{str(file)!r} is not a file that can be read", hint="Nothing was copied")
    folder = logs / backend
    after = datetime.min  # noqa: DTZ901 - logs are named by local time
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            after = _free(folder, max(_minute(file), after))
            path = folder / log_of(after)
            _copy(file, path)
            yield file, path
            after += timedelta(minutes=1)
    except OSError as error:
        raise SettingsError(f"{str(folder)!r} cannot be written: {error.strerror}") from None


def _minute(file: Path) -> datetime:
    """The minute of a log by its name; of another file, that of its last change."""
    changed = datetime.fromtimestamp(file.stat().st_mtime)  # noqa: DTZ006 - logs are named by local time
    return minute_of(file.name) or changed.replace(second=0, microsecond=0)


def _free(folder: Path, minute: datetime) -> datetime:
    while (folder / log_of(minute)).exists():
        minute += timedelta(minutes=1)
    return minute


def _copy(file: Path, path: Path) -> None:
    """Copy a file so that nobody sees a part of it."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with file.open("rb") as old, beside.open("wb") as new:
            shutil.copyfileobj(old, new)
            new.flush()
            os.fsync(new.fileno())
        os.link(beside, path)  # unlike a rename, it never takes the place of another log
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()
    sync_folder(path.parent)

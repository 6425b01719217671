"""Writes a file so that it never holds a part of its content."""

import os
from functools import partial
from pathlib import Path

from snk.errors import SettingsError


def write_whole(file: Path, text: str, mode: int = 0o666) -> None:
    """Write a file beside its place, and move it there when it is on disk.

    Args:
        file: its place.
        text: its content.
        mode: who may read and write it; the process's umask takes away from it.

    Raises:
        SettingsError: it cannot be written there.
    """
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.unlink(missing_ok=True)  # left by a crash; its mode would stay
        with open(beside, "w", encoding="utf-8", opener=partial(os.open, mode=mode)) as made:
            made.write(text)
            made.flush()
            os.fsync(made.fileno())
        beside.replace(file)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise SettingsError(f"{str(file)!r} cannot be written: {error.strerror}", hint="Name another file") from None


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk."""
    _sync(folder, os.O_DIRECTORY)


def sync_file(file: Path) -> None:
    """Force what a file holds to disk."""
    _sync(file, 0)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

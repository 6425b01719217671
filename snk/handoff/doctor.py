"""Checks what the hand-off needs, and what is likely wrong when nothing is sent. Changes nothing."""

import os
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path

from snk.core.finding import Finding
from snk.core.words import counted
from snk.handoff.client import BackendClient
from snk.handoff.monitor import Scan, scan
from snk.handoff.pending import waiting
from snk.handoff.settings import Handoff
from snk.handoff.state import State

SAMPLE = 100
"""Lines of each backend that are decoded."""
FREE_SHARE = 0.1
DELETES = "Let it: finished logs are deleted there"


async def examine(settings: Handoff) -> AsyncIterator[Finding]:
    """Look at the folders, at what lies in them, and at the backends."""
    for finding in _folders(settings):
        yield finding
    if not settings.logs.is_dir():
        return
    found = scan(settings.logs)
    for finding in _ignored(found):
        yield finding
    for backend in found.logs:
        yield await _alive(settings, backend)
        folder = settings.logs / backend
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            yield Finding("error", backend, f"this user may not write to {str(folder)!r}", DELETES)
        for finding in _lines(settings, backend):
            yield finding
    if not found.logs:
        yield Finding("warning", "logs", "no backend has a folder", "Create one, named HOST:PORT, for each backend")


def _folders(settings: Handoff) -> Iterator[Finding]:
    for name, folder, rights in (
        ("handoff.logs", settings.logs, os.R_OK | os.W_OK | os.X_OK),
        ("handoff.state", _existing(settings.state), os.W_OK | os.X_OK),
    ):
        if not folder.is_dir():
            yield Finding(
                "error", name, f"there is no folder {str(folder)!r}", "Create it, and let this user write to it"
            )
        elif not os.access(folder, rights, effective_ids=True):
            yield Finding("error", name, f"this user may not write to {str(folder)!r}", DELETES)
        else:
            disk = os.statvfs(folder)
            free = disk.f_bavail / max(1, disk.f_blocks)
            if free < FREE_SHARE:
                yield Finding("warning", name, f"its disk is {1 - free:.0%} full", "A full disk stops the hand-off")
            else:
                yield Finding("ok", name, f"{folder} can be written")


def _existing(folder: Path) -> Path:
    """A folder, or the nearest one above it that exists: the rest will be created."""
    return next((each for each in (folder, *folder.parents) if each.exists()), folder)


def _ignored(found: Scan) -> Iterator[Finding]:
    for name, why in found.unreadable.items():
        yield Finding("error", name, f"it cannot be read: {why}", "Let this user read it")
    for name, why in found.ignored.items():
        yield Finding("warning", name, f"it is ignored: {why}")


async def _alive(settings: Handoff, backend: str) -> Finding:
    client = BackendClient(backend, 1, settings.authorization(), tls=settings.tls)
    try:
        why = await client.alive(settings.timeout_ms / 1000)
    finally:
        await client.close()
    if why:
        return Finding("warning", backend, why, "Its lines wait until /status.html answers 200 with ok and a line end")
    return Finding("ok", backend, "it is alive")


def _lines(settings: Handoff, backend: str) -> Iterator[Finding]:
    state = State(settings.state)
    lines = waiting(settings.logs, state, backend, settings.coding, values=False, most_line=settings.line_bytes_max)
    try:
        some = list(islice(lines, SAMPLE))
    except OSError as error:
        yield Finding("error", backend, f"{error.filename} cannot be read: {error.strerror}", "Let this user read it")
        return
    bad = [each for each in some if each.write is None]
    if bad:
        place = f"{bad[0].log}, line {bad[0].line}: {bad[0].why}"
        advice = "Is handoff.codec right?" if len(bad) == len(some) else "They become dead letters"
        yield Finding(
            "warning", backend, f"{len(bad)} of {counted(len(some), 'line')} can never be sent; {place}", advice
        )
    elif some:
        yield Finding("ok", backend, f"the first {counted(len(some), 'line')} can be sent")

"""Checks what the hand-off needs, and what is likely wrong when nothing is sent. Changes nothing."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path

from snk.core.finding import Finding
from snk.core.words import counted
from snk.errors import ServiceUnfit
from snk.handoff.client import BackendClient
from snk.handoff.dead import DeadLetters
from snk.handoff.monitor import Scan, scan
from snk.handoff.pending import waiting
from snk.handoff.running import running_status
from snk.handoff.settings import Handoff
from snk.handoff.state import State
from snk.http.service import Address, listening

SAMPLE = 100
"""Lines of each backend that are decoded."""
FREE_SHARE = 0.1
LEAST_BYTES = 2**16
"""With less room, a disk counts as full."""
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
        lines = list(_lines(settings, backend))
        yield await _alive(settings, backend, waits=bool(lines))
        folder = settings.logs / backend
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            yield Finding("error", backend, f"this user may not write to {str(folder)!r}", DELETES)
        for finding in (*lines, *_set_aside(settings, backend)):
            yield finding
    if not found.logs:
        yield Finding("warning", "logs", "no backend has a folder", "Create one, named HOST:PORT, for each backend")
    for finding in await asyncio.to_thread(_server, settings):
        yield finding


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
            yield _room(name, folder)


def _room(name: str, folder: Path) -> Finding:
    """Whether there is room on a folder's disk."""
    disk = os.statvfs(folder)
    free = disk.f_bavail / max(1, disk.f_blocks)
    if disk.f_bavail * disk.f_frsize < LEAST_BYTES or (disk.f_files and not disk.f_favail):
        return Finding("error", name, f"the disk of {str(folder)!r} is full", "Make room: it stops the hand-off")
    if free < FREE_SHARE:
        return Finding("warning", name, f"its disk is {1 - free:.0%} full", "A full disk stops the hand-off")
    return Finding("ok", name, f"{folder} can be written")


def _existing(folder: Path) -> Path:
    """A folder, or the nearest one above it that exists: the rest will be created."""
    return next((each for each in (folder, *folder.parents) if each.exists()), folder)


def _ignored(found: Scan) -> Iterator[Finding]:
    for name, why in found.unreadable.items():
        yield Finding("error", name, f"it cannot be read: {why}", "Let this user read it")
    for name, why in found.ignored.items():
        yield Finding("warning", name, f"it is ignored: {why}")


async def _alive(settings: Handoff, backend: str, *, waits: bool) -> Finding:
    client = BackendClient(backend, 1, settings.authorization(), tls=settings.tls)
    try:
        why = await client.alive(settings.timeout_ms / 1000)
    finally:
        await client.close()
    if why:
        advice = "Its lines wait until /status.html answers 200 with ok and a line end"
        return Finding("error" if waits else "warning", backend, why, advice)
    return Finding("ok", backend, "it is alive")


def _lines(settings: Handoff, backend: str) -> Iterator[Finding]:
    lines = waiting(settings.logs, State(settings.state), backend, settings.line_bytes_max)
    try:
        some = [each.shown(settings.coding, values=False) for each in islice(lines, SAMPLE)]
    except OSError as error:
        yield Finding("error", backend, f"{error.filename} cannot be read: {error.strerror}", "Let this user read it")
        return
    bad = [each for each in some if each.write is None]
    told = f"{len(bad)} of {counted(len(some), 'line')} can never be sent"
    if bad:
        told += f"; {bad[0].log}, line {bad[0].line}: {bad[0].why}"
        none = len(bad) == len(some)
        advice = "Is handoff.codec right?" if none else "They become dead letters"
        yield Finding("error" if none else "warning", backend, told, advice)
    elif some:
        yield Finding("ok", backend, f"the first {counted(len(some), 'line')} can be sent")


def _set_aside(settings: Handoff, backend: str) -> Iterator[Finding]:
    """What keeps lines of a backend from being sent, according to the folder of state."""
    state = State(settings.state)
    if backend in state.held():
        yield Finding(
            "warning", backend, "it is paused by hand", f"`snk handoff resume {backend}` takes the pause back"
        )
    if dead := DeadLetters(state.dead).count(backend):
        yield Finding("warning", backend, f"it has {counted(dead, 'dead letter')}", "See `snk handoff dead list`")


def _server(settings: Handoff) -> list[Finding]:
    """What the running server knows; if none runs, whether one could listen."""
    if not settings.port:
        return []
    try:
        found = running_status(settings.host, settings.port)
    except ServiceUnfit:
        try:
            listening(Address(settings.host, settings.port, "handoff.host", "handoff.port"), guarded=True).close()
        except ServiceUnfit as error:
            return [Finding("error", "handoff.port", str(error.args[0]), error.hint)]
        return [Finding("ok", "handoff.port", f"{settings.port} is free: no sync server runs")]
    findings = [Finding("ok", "handoff.port", "the sync server answers")]
    for name, backend in found["backends"].items():
        if backend["breaker"] != "closed":
            findings.append(Finding("error", name, f"it is {backend['breaker']}: {backend['reason']}"))
        if backend["unanswered"]:
            told = f"{counted(backend['unanswered'], 'line')} got no answer {backend['unanswered_most']} times"
            findings.append(Finding("warning", name, f"{told}; the oldest is {backend['unanswered_oldest']}"))
    return findings

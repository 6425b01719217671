"""Checks what the pipeline needs, and what is likely wrong when nothing arrives. Changes nothing."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import time

from yarl import URL

from snk.core.finding import Finding
from snk.core.words import counted
from snk.http.auth.credentials import Credentials
from snk.http.client import Client, NoAnswer, Request
from snk.http.origin import origin_of
from snk.pipeline.frame import written
from snk.pipeline.loaded import Asked, NoDigest
from snk.pipeline.sample import taken
from snk.pipeline.settings import Pipeline
from snk.pipeline.setup import digest_url_of, known_of, pulling_of, space_of
from snk.pipeline.status import Watcher

FREE_SHARE = 0.1
ASK_SECONDS = 5.0


async def examine(settings: Pipeline) -> AsyncIterator[Finding]:
    """Look at the folders, at both servers, and at what the processes tell."""
    for finding in _space(settings):
        yield finding
    if settings.base_seconds > time():
        yield Finding("warning", "pipeline.base", f"it is in the future: {written(settings.base_seconds)}")
    yield await _source(settings)
    yield await _sink(settings)
    if digest_url_of(settings):
        yield await _digest(settings)
    if settings.space.is_dir():
        for trouble in Watcher(space_of(settings), known_of(settings)).status().troubles:
            yield Finding("warning", "status", trouble)


def _space(settings: Pipeline) -> Iterator[Finding]:
    folder = _existing(settings.space)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        yield Finding("error", "pipeline.space", f"this user may not write to {str(folder)!r}", "Let it")
        return
    disk = os.statvfs(folder)
    if disk.f_bavail / max(1, disk.f_blocks) < FREE_SHARE:
        used = f"its disk is {1 - disk.f_bavail / max(1, disk.f_blocks):.0%} full"
        yield Finding("warning", "pipeline.space", used, "A full disk stops the pipeline")
    else:
        yield Finding("ok", "pipeline.space", f"{folder} can be written")


def _existing(folder: Path) -> Path:
    """A folder, or the nearest one above it that exists: the rest will be created."""
    return next(each for each in (folder, *folder.parents) if each.exists())


async def _source(settings: Pipeline) -> Finding:
    sample = await taken(settings)
    if sample.trouble:
        return Finding(
            "error", "pipeline.source", sample.trouble, "Open its address with the bounds of a frame yourself"
        )
    if sample.unfit:
        share = f"{sample.fit} of {sample.fit + sample.unfit}" if sample.fit else "none"
        found = f"{share} of the sampled records fit: {sample.reason}"
        advice = "Change pipeline.mapping or pipeline.source.uid"
        return Finding("warning" if sample.fit else "error", "pipeline.source", found, advice)
    if not sample.fit:
        return Finding(
            "warning", "pipeline.source", "the first and the last frame have no records, so nothing was checked"
        )
    return Finding("ok", "pipeline.source", f"it answers, and {counted(sample.fit, 'sampled record')} fit")


async def _sink(settings: Pipeline) -> Finding:
    """Whether the receiving server can be reached; nothing is sent to it."""
    client = Client(origin_of(URL(settings.sink.url)), 1, {})
    try:
        answer = await client.send(Request("HEAD", "/"), ASK_SECONDS)
    except NoAnswer as error:
        return Finding("error", "pipeline.sink", str(error), "Frames wait until it can be reached")
    finally:
        await client.close()
    return Finding("ok", "pipeline.sink", f"it can be reached (HEAD / answers {answer.status})")


async def _digest(settings: Pipeline) -> Finding:
    grid = pulling_of(settings).looking.grid
    asked = Asked(digest_url_of(settings), Credentials(settings.sink.auth), ASK_SECONDS)
    try:
        digest = await asked.digest(grid.iso(0), grid.iso(1))
    except NoDigest as error:
        advice = "Without it, `accepted` and `loaded` cannot be told apart"
        return Finding("error", "pipeline.sink.digest_url", str(error), advice)
    finally:
        await asked.close()
    return Finding("ok", "pipeline.sink.digest_url", f"it tells {counted(digest.count, 'record')} for the first frame")

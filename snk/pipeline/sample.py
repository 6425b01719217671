"""Checks the mapping against records of the source before anything is pulled."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from snk.errors import SettingsError
from snk.pipeline.mapping import Mapper, Unfit
from snk.pipeline.page import NoPage
from snk.pipeline.run_pull import ANSWERED
from snk.pipeline.settings import Pipeline
from snk.pipeline.setup import asking_of, pulling_of, space_of
from snk.pipeline.source import Failed, Source

MOST_RECORDS = 100
MOST_SECONDS = 10.0

log = structlog.get_logger()


@dataclass(slots=True)
class Sample:
    """What came of it.

    Attributes:
        fit: how many records fit.
        unfit: how many do not.
        reason: why the last one of these does not.
        trouble: why the source could not be asked.
    """

    fit: int = 0
    unfit: int = 0
    reason: str = ""
    trouble: str = ""


async def check_sample(settings: Pipeline) -> None:
    """Refuse to start if no record of a sample fits; say so if some do not. A source that is down is no obstacle.

    Raises:
        SettingsError: no record fits.
    """
    sample = await taken(settings)
    if sample.unfit and not sample.fit:
        hint = "Change pipeline.mapping or pipeline.source"
        raise SettingsError(f"None of {sample.unfit} sampled records fits: {sample.reason}", hint=hint)
    if sample.unfit:
        log.warning("sample_unfit", records=sample.unfit, reason=sample.reason, effect="such frames are quarantined")


async def taken(settings: Pipeline) -> Sample:
    """Records of the first frame and of the last one that is due, mapped."""
    sample, looking, mapper = Sample(), pulling_of(settings).looking, settings.mapper
    due = looking.due(time.time(), settings.delay_seconds)
    frames = {due.pairs[0][0], due.pairs[-1][1]} if due else set()
    async with Source(asking_of(settings), Path(tempfile.gettempdir())) as source:
        source.answered = (space_of(settings).sss / ANSWERED).exists()
        for frame in sorted(frames):
            try:
                async with asyncio.timeout(MOST_SECONDS):
                    start, end = looking.grid.iso(frame), looking.grid.iso(frame + 1)
                    await _map(source, start, end, mapper, sample)
            except (Failed, NoPage, OSError, TimeoutError) as error:
                sample.trouble = str(error) or "no answer in time"
    return sample


async def _map(source: Source, start: str, end: str, mapper: Mapper, sample: Sample) -> None:
    async for page in source.pages(start, end, 0.0):
        try:
            for number, (_, record, _) in enumerate(page.records()):
                if number >= MOST_RECORDS:
                    return
                try:
                    mapper.map(record)
                except Unfit as error:
                    sample.unfit, sample.reason = sample.unfit + 1, str(error)
                else:
                    sample.fit += 1
        except Unfit as error:  # no uid, where the reading of the page ends
            sample.unfit, sample.reason = sample.unfit + 1, str(error)

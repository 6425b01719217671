"""``snk pipeline verify``: the source, the proofs and the receiving database, compared frame by frame."""

import json
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import Progress

from snk.core.words import counted
from snk.errors import ServiceUnfit, SettingsError
from snk.http.auth.credentials import Credentials
from snk.options import Config, Json
from snk.pipeline.commands.frames import frame_of
from snk.pipeline.loaded import Asked, NoDigest
from snk.pipeline.mapping import Unfit
from snk.pipeline.page import NoPage
from snk.pipeline.proof import Proofs
from snk.pipeline.settings import Pipeline, load_settings
from snk.pipeline.setup import asking_of, digest_url_of, pulling_of, space_of
from snk.pipeline.source import Failed, Source
from snk.pipeline.verify import EQUAL, LESS, Verdict, Verifier, sampled

SHOWN = 100


def verify(
    *,
    first: Annotated[str, typer.Option("--from", help="Where the first frame starts; default: the base.")] = "",
    last: Annotated[str, typer.Option("--to", help="Where the last one ends; default: what is due now.")] = "",
    sample: Annotated[str, typer.Option(help="Share of all frames, such as 5%.")] = "100%",
    seed: Annotated[int, typer.Option(help="Another seed takes another sample.")] = 0,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Compare frames: = equal, - the receiving end lacks some, + it has more, * it has others. Exit code 0 if equal."""
    settings = load_settings(config)
    share = _share(sample)
    verdicts = uvloop.run(_verify(settings, first, last, share, seed, quiet=as_json))
    different = [verdict for verdict in verdicts if verdict.sign != EQUAL]
    if as_json:
        document = {
            "equal": not different,
            "frames": len(verdicts),
            "records": sum(verdict.source for verdict in verdicts),
            "database": bool(digest_url_of(settings)),
            "different": [asdict(each) for each in different],
        }
        print(json.dumps(document))
    else:
        _print(verdicts, different)
        if not digest_url_of(settings):
            print("The receiving database was not compared: pipeline.sink.digest_url is not set")
    raise typer.Exit(1 if different else 0)


async def _verify(settings: Pipeline, first: str, last: str, share: float, seed: int, *, quiet: bool) -> list[Verdict]:
    space, looking = space_of(settings), pulling_of(settings).looking
    if not space.root.is_dir():
        raise SettingsError(f"There is no folder {str(space.root)!r}", hint="Has the pipeline run with this file?")
    proofs = Proofs(space)
    proofs.refresh()
    url = digest_url_of(settings)
    asked = Asked(url, Credentials(settings.sink.auth), settings.sink.timeout_seconds) if url else None
    console = Console(stderr=True)
    try:
        async with Source(asking_of(settings), Path(tempfile.gettempdir())) as source:
            source.answered = True
            frames = sampled(_span(settings, first, last, proofs.floor), share, seed)
            verifier = Verifier(looking.grid, source, settings.mapper, proofs, asked)
            with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
                task = progress.add_task("frames", total=len(frames))
                verdicts = []
                async for verdict in verifier.verify(frames):
                    verdicts.append(verdict)
                    progress.update(task, completed=len(verdicts))
                return verdicts
    except (Failed, NoPage, Unfit) as error:
        raise ServiceUnfit(f"The source cannot be compared: {error}") from None
    except NoDigest as error:
        raise ServiceUnfit(f"The receiving server cannot be asked what its database holds: {error}") from None
    finally:
        if asked:
            await asked.close()


def _span(settings: Pipeline, first: str, last: str, floor: int) -> range:
    """The frames between two moments, as far as they are due and their proofs are kept."""
    looking = pulling_of(settings).looking
    due = looking.grid.ended(time.time() - settings.delay_seconds)
    low = frame_of("--from", first, looking.grid) if first else 0
    high = frame_of("--to", last, looking.grid) if last else due
    if low >= high:
        raise SettingsError(f"There is no frame from {looking.grid.iso(low)} to {looking.grid.iso(high)}")
    return range(max(low, floor), min(high, due))


def _share(sample: str) -> float:
    """A share in percent as a fraction.

    Raises:
        SettingsError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)%?", sample)
    if not found or not 0 < float(found[1]) <= 100:  # noqa: PLR2004 - per cent
        raise SettingsError(f"--sample is {sample!r}", hint="Write a share above 0 % and up to 100 %, such as 5%")
    return float(found[1]) / 100


def _print(verdicts: Sequence[Verdict], different: Sequence[Verdict]) -> None:
    for verdict in different[:SHOWN]:
        print(f"{verdict.sign} {verdict.frame}  {verdict.words}")
    if len(different) > SHOWN:
        print(f"... and {len(different) - SHOWN:,} more")
    records = sum(verdict.source for verdict in verdicts)
    if any(verdict.sign == LESS for verdict in different):
        print("To bring over the missing records, run `snk pipeline again FRAME...`")
    signs = ", ".join(f"{sum(each.sign == sign for each in verdicts):,} {sign}" for sign in ("=", "-", "+", "*"))
    print(f"{counted(len(verdicts), 'frame')} with {counted(records, 'record')} compared: {signs}")

"""``snk pipeline push``: sends what was pulled, record by record, and proves each frame (RSS)."""

import asyncio

import uvloop

from snk import garbage
from snk.http.auth.credentials import Credentials
from snk.log import configure_log
from snk.options import Config, LogFormat
from snk.pipeline.loaded import Asked, Loaded
from snk.pipeline.push import Push
from snk.pipeline.run_push import run_push
from snk.pipeline.settings import Pipeline, load_settings
from snk.pipeline.setup import digest_url_of, retry_of, sending_of, share_of, space_of
from snk.pipeline.sink import Sink
from snk.pipeline.space import Space, held
from snk.signals import hear_ctrl_c, when_told_to_stop


def push(*, log_format: LogFormat = "console", config: Config = None) -> None:
    """Push what was pulled until stopped. `snk pipeline run` starts this and pull, and watches both."""
    hear_ctrl_c()
    settings = load_settings(config)
    configure_log(log_format, "info")
    space = space_of(settings)
    space.make(space.rss)
    garbage.keep()
    garbage.seldom()
    with held(space.rss, "snk pipeline push"):
        uvloop.run(_work(settings, space))


async def _work(settings: Pipeline, space: Space) -> None:
    stop = asyncio.Event()
    when_told_to_stop(stop.set)
    url = digest_url_of(settings)
    loaded = Loaded(space, Asked(url, Credentials(settings.sink.auth), settings.sink.timeout_seconds)) if url else None
    sink = Sink(sending_of(settings))
    await run_push(Push(space, sink, settings.mapper, retry_of(settings.sink), share_of(settings)), space, loaded, stop)

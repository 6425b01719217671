"""``snk pipeline pull``: stores every frame in its space (SSS)."""

import asyncio
import sys

import uvloop

from snk.log import configure_log
from snk.options import Config, LogFormat
from snk.pipeline.run_pull import run_pull
from snk.pipeline.settings import load_settings
from snk.pipeline.setup import asking_of, pulling_of, space_of
from snk.pipeline.space import held
from snk.signals import hear_ctrl_c, when_told_to_stop

SWITCH_SECONDS = 0.0005
"""How long the thread that reads records may keep others waiting: while the loop waits, the source waits, too."""


def pull(*, log_format: LogFormat = "console", config: Config = None) -> None:
    """Pull frames until stopped. `snk pipeline run` starts this and push, and watches both."""
    hear_ctrl_c()
    settings = load_settings(config)
    configure_log(log_format, "info")
    space = space_of(settings)
    space.make(space.sss)
    asking, plan = asking_of(settings), pulling_of(settings)

    async def work() -> None:
        stop = asyncio.Event()
        when_told_to_stop(stop.set)
        await run_pull(space, asking, plan, stop)

    sys.setswitchinterval(SWITCH_SECONDS)
    with held(space.sss, "snk pipeline pull"):
        uvloop.run(work())

"""``snk batch platform``: a node of the platform."""

import asyncio
import os
import socket
from typing import Annotated

import typer
import uvloop

from snk.batch.platform.calling import Caller
from snk.batch.platform.node import Node, Pace
from snk.batch.platform.rounds import Rounds
from snk.batch.platform.tables import TABLES
from snk.batch.settings import load_settings
from snk.db.pool import Pool
from snk.db.server import Server
from snk.http.auth.credentials import Credentials
from snk.log import configure_log
from snk.options import Config, LogFormat
from snk.signals import hear_ctrl_c, when_told_to_stop

CONNECTIONS = 10
WAIT_SECONDS = 30.0


def platform(
    *,
    name: Annotated[
        str, typer.Option(help="Unlike that of all other nodes; default: the machine and the process.")
    ] = "",
    log_format: LogFormat = "console",
    config: Config = None,
) -> None:
    """Call consumers until stopped. Start as many nodes on one database as you like."""
    hear_ctrl_c()
    settings = load_settings(config)
    configure_log(log_format, "info")
    node_name = name or f"{socket.gethostname()}-{os.getpid()}"
    address = settings.address or f"http://{settings.host}:{settings.port}"

    async def work() -> None:
        server = Server("database", settings.dsn)
        async with server.connect() as connection:
            await TABLES.check(connection, server.address)
        stop = asyncio.Event()
        when_told_to_stop(stop.set)
        pool = Pool(settings.dsn, CONNECTIONS, WAIT_SECONDS, "snk batch")
        caller = Caller(Credentials(settings.auth), address, settings.calls)
        pace = Pace(settings.calls, settings.lease_seconds, settings.poll_seconds)
        try:
            await Node(address, pool, Rounds(node_name, pool, caller), pace).run(stop)
        finally:
            await caller.close()
            await pool.close()

    uvloop.run(work())

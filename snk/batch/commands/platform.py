"""``snk batch platform``: a node of the platform."""

import asyncio
import os
import socket
from typing import Annotated

import typer

from snk.batch.platform.calling import Caller
from snk.batch.platform.node import Node, Pace
from snk.batch.platform.proofs import Proofs
from snk.batch.platform.rounds import Rounds
from snk.batch.platform.sender import Sender, channels_of
from snk.batch.platform.service import Front, Service
from snk.batch.settings import Batch, load_settings
from snk.db.pool import Pool
from snk.http.commands.keys import folder_of
from snk.http.commands.run import run_service
from snk.http.service import Address
from snk.log import configure_log
from snk.options import Config, LogFormat
from snk.signals import hear_ctrl_c

CONNECTIONS = 10
WAIT_SECONDS = 30.0
ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - what is asked for


def platform(
    *,
    name: Annotated[
        str, typer.Option(help="Unlike that of all other nodes; default: the machine and the process.")
    ] = "",
    port: Annotated[
        int | None, typer.Option(help="Instead of batch.port; 0: any that is free.", min=0, max=65535)
    ] = None,
    log_format: LogFormat = "console",
    config: Config = None,
) -> None:
    """Call consumers and serve the API until stopped. Start as many nodes on one database as you like."""
    hear_ctrl_c()
    settings = load_settings(config)
    configure_log(log_format, "info")
    if settings.auth.keys:
        folder_of("batch", settings.auth).signing()
    proofs = Proofs(settings.credentials, settings.own)
    proofs.check()
    hint = "Name clients in [batch.auth], such as [[batch.auth.tokens]]"
    wanted = settings.port if port is None else port
    address = Address(settings.host, wanted, "batch.host", "batch.port", guard_hint=hint)
    node = name or f"{socket.gethostname()}-{os.getpid()}"
    run_service(address, lambda *given: _run(settings, node, proofs, *given), guarded=settings.auth.closed)


async def _run(settings: Batch, name: str, proofs: Proofs, bound: socket.socket, stop: asyncio.Event) -> None:
    address = settings.address or _reached(settings.host, bound.getsockname()[1])
    pool = Pool(settings.dsn, CONNECTIONS, WAIT_SECONDS, "snk batch")
    renewals = Pool(settings.dsn, 1, WAIT_SECONDS, "snk batch")
    caller = Caller(proofs, address, settings.calls)
    pace = Pace(settings.calls, settings.lease_seconds, settings.poll_seconds)
    rounds = Rounds(name, pool, caller, settings.alerts.unreachable_tries)
    node = Node(address, pool, renewals, rounds, pace)
    front = Front(
        host=settings.host,
        auth=settings.auth,
        body_bytes_max=settings.body_bytes_max,
        requests_per_second=settings.requests_per_second,
        clients=settings.clients,
        docs=settings.docs,
    )
    try:
        sender = Sender(pool, channels_of(settings.alerts))
        await Service(node, settings.calls, settings.dsn, front, sender).run(bound, stop)
    finally:
        await caller.close()
        await renewals.close()
        await pool.close()


def _reached(host: str, port: int) -> str:
    """The address that consumers are told, where the settings name none."""
    name = socket.gethostname() if host in ANYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"

"""``snk batch alerts``: what a person should see to."""

import asyncio
import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
import uvloop

from snk.batch.channels import Alerts, Kind
from snk.batch.commands.common import asked, done, me
from snk.batch.platform import absence, attention
from snk.batch.platform.message import Channel, Message, NotSent
from snk.batch.platform.rows import Row
from snk.batch.platform.sender import Sender, channels_of
from snk.batch.platform.tables import TABLES
from snk.batch.settings import Batch, load_settings
from snk.core.moments import stamp
from snk.core.shown import plain
from snk.core.words import counted
from snk.db.pool import Pool
from snk.db.server import Server
from snk.log import configure_log
from snk.options import Config, Json

CONNECTIONS = 4
WAIT_SECONDS = 30.0
_WIDEST = max(map(len, Kind))


def group(_words: Sequence[str]) -> typer.Typer:
    """The commands for alerts."""
    app = typer.Typer(help="What a person should see to: runs that failed, consumers that do not answer, and the like.")
    app.command("list")(listed)
    app.command("ack")(acknowledge)
    app.command("check")(check)
    app.command("test")(send_test)
    return app


def listed(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are resolved.")] = False,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=10_000)] = 100,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """List alerts, newest first. Exit code 1 if an open alert is unacknowledged."""
    found = asked(config, lambda connection: attention.listed(connection, resolved=everything, most=limit))
    if as_json:
        print(json.dumps({"alerts": found}))
    else:
        for line in (line for each in found for line in _lines(each)):
            print(plain(line))
        if not found:
            print("no alerts")
    raise typer.Exit(1 if any(not (each["resolved_at"] or each["acknowledged_by"]) for each in found) else 0)


def acknowledge(
    alert: Annotated[int, typer.Argument(metavar="ID", help="The number of the alert.", min=1)],
    *,
    note: Annotated[str, typer.Option("--note", help="What you do about it.")],
    config: Config = None,
) -> None:
    """Say that you look after an alert; it stays open until its cause is gone."""
    done(config, lambda connection: attention.acknowledge(connection, alert, me(), note))
    print(f"alert {alert} is acknowledged by {me()}")


def check(*, config: Config = None) -> None:
    """See whether a node is alive: 0 if so. If not, raise an alert, send it, and return 1. Run it by cron."""
    settings = load_settings(config)
    configure_log("console", "info")
    alive = uvloop.run(_check(settings))
    print(f"{counted(alive, 'node')} alive")
    raise typer.Exit(0 if alive else 1)


def send_test(*, as_json: Json = False, config: Config = None) -> None:
    """Send a test to every channel; 1 if one does not take it."""
    configure_log("console", "info")
    found = uvloop.run(_test(load_settings(config).alerts))
    if as_json:
        print(json.dumps({"channels": found}))
    else:
        for name, error in found.items():
            print(plain(f"{name}: {error or 'sent'}"))
    raise typer.Exit(1 if any(found.values()) else 0)


async def _check(settings: Batch) -> int:
    server = Server("database", settings.dsn)
    async with server.connect() as connection:
        await TABLES.check(connection, server.address)
    pool = Pool(settings.dsn, CONNECTIONS, WAIT_SECONDS, "snk batch alerts")
    sender = Sender(pool, channels_of(settings.alerts))
    try:
        await sender.announce()
        async with pool.begin() as connection:
            alive = await absence.check(connection)
        if not alive:
            await sender.flush()
    finally:
        await sender.close()
        await pool.close()
    return alive


async def _test(settings: Alerts) -> dict[str, str]:
    channels = channels_of(settings)
    return dict(await asyncio.gather(*map(_tried, channels)))


async def _tried(channel: Channel) -> tuple[str, str]:
    """The name of a channel, and why it does not take a test; empty if it does."""
    text = "this is a test; nothing is wrong"
    try:
        await channel.send(Message(uuid.uuid4(), 0, "test", "test", "platform", None, None, text, datetime.now(UTC)))
    except NotSent as error:
        return channel.name, str(error)
    finally:
        await channel.close()
    return channel.name, ""


def _lines(alert: Row) -> Iterator[str]:
    state = "resolved" if alert["resolved_at"] else "acknowledged" if alert["acknowledged_by"] else "OPEN"
    yield f"{alert['id']:>6}  {state:<12}  {alert['kind']:<{_WIDEST}}  {stamp(alert['raised_at'])}  {alert['text']}"
    if alert["acknowledged_by"]:
        yield f"        acknowledged by {alert['acknowledged_by']}: {alert['note']}"
    if alert["resolved_at"]:
        yield f"        resolved {stamp(alert['resolved_at'])}: {alert['resolution']}"
    for notice in alert["notices"]:
        if notice["gave_up_at"]:
            yield f"        {notice['channel']}: gave up telling that it is {notice['event']}: {notice['error']}"
        elif not notice["sent_at"] and notice["tries"]:
            tried = counted(notice["tries"], "time")
            yield f"        {notice['channel']}: tried {tried} to tell that it is {notice['event']}: {notice['error']}"
        elif notice["error"]:
            yield f"        {notice['channel']}: {notice['error']}"

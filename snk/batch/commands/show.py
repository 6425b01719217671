"""``snk batch show``: all that is known of a run."""

import json
from collections.abc import Iterator

from snk.batch.commands.common import Run, asked, counts_of
from snk.batch.commands.runs import lines
from snk.batch.platform import looking
from snk.batch.platform.rows import Row
from snk.core.moments import stamp
from snk.core.shown import plain
from snk.options import Config, Json


def show(run: Run, *, as_json: Json = False, config: Config = None) -> None:
    """Show a run: its files with their numbers, the calls of its consumer, and who did what to it."""
    found = asked(config, lambda connection: looking.one(connection, run))
    if as_json:
        print(json.dumps(found))
        return
    for each in _lines(found):
        print(plain(each))


def _lines(found: Row) -> Iterator[str]:
    yield from lines(found)
    times = (("triggered", "created_at"), ("began", "started_at"), ("ended", "ended_at"))
    yield "        " + ", ".join(f"{what} {stamp(found[name])}" for what, name in times if found[name])
    yield f"        key {found['key']}, payload {json.dumps(found['payload'], ensure_ascii=False)}"
    for each in found["tasks"]:
        yield from (f"  {line}" for line in lines(each))
    for each in found["files"]:
        counts = counts_of(each)
        yield "  ".join(
            part for part in (f"  file  {each['state']:<12} {each['name']}", counts, each["reason"]) if part
        )
    for each in found["attempts"]:
        yield f"  call  {stamp(each['ended_at'])}  {each['consumer']} by {each['node']}: {each['outcome']}"
    if found["stop"]:
        yield f"  stop  {_stop(found['stop'])}"
    for each in found["audit"]:
        reason = f": {each['reason']}" if each["reason"] else ""
        yield f"  audit {stamp(each['at'])}  {each['what']} by {each['who']}{reason}"


def _stop(stop: Row) -> str:
    """Whether the consumer knows that its run has ended."""
    if stop["told_at"]:
        return f"{stamp(stop['told_at'])}  its consumer has stopped it"
    reason = f": {stop['reason']}" if stop["reason"] else ""
    if stop["gave_up_at"]:
        return f"{stamp(stop['gave_up_at'])}  its consumer could not be told that it has ended{reason}"
    return f"{stamp(stop['due_at'])}  its consumer does not know yet that it has ended{reason}; it is told then"

"""``snk batch show``: all that is known of a run."""

import json
from collections.abc import Iterator

from snk.batch.commands.common import Run, asked, counts_of
from snk.batch.commands.runs import line
from snk.batch.platform import looking
from snk.batch.platform.rows import Row
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
    yield line(found)
    yield f"        key {found['key']}, payload {json.dumps(found['payload'], ensure_ascii=False)}"
    for each in found["tasks"]:
        yield f"  {line(each)}"
    for each in found["files"]:
        counts = counts_of(each)
        yield "  ".join(
            part for part in (f"  file  {each['state']:<12} {each['name']}", counts, each["reason"]) if part
        )
    for each in found["attempts"]:
        yield f"  call  {each['ended_at'][:19]}  {each['consumer']} by {each['node']}: {each['outcome']}"
    for each in found["audit"]:
        reason = f": {each['reason']}" if each["reason"] else ""
        yield f"  audit {each['at'][:19]}  {each['what']} by {each['who']}{reason}"

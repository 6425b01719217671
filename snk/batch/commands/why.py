"""``snk batch why``: why a task does not run."""

import json

import typer

from snk.batch.commands.common import Name, asked
from snk.batch.platform.facts import facts_of
from snk.batch.platform.why import reasons, told, well
from snk.core.shown import plain
from snk.options import Config, Json


def why(name: Name, *, as_json: Json = False, config: Config = None) -> None:
    """Say why a task or group does not run, one cause a line.

    Exit code 0 if its consumer is called just now and no file waits, or if it is idle and its last run did not fail; 1
    if it waits, is paused, has failed, or no node is alive.
    """
    facts = asked(config, lambda connection: facts_of(connection, name))
    found = list(reasons(facts))
    if as_json:
        print(json.dumps(told(facts)))
    else:
        for reason in found:
            print(plain(reason))
        if not found and facts.run:
            print(f"run {facts.run.id} is {facts.run.state}: {facts.run.node} calls its consumer just now")
    raise typer.Exit(0 if well(facts) else 1)

"""The commands of the batch, one file each: a command parses, builds the settings, calls a function, and prints."""

COMMANDS = {
    "platform": "snk.batch.commands.platform",
    "init": "snk.batch.commands.init",
    "apply": "snk.batch.commands.apply",
    "export": "snk.batch.commands.export",
    "trigger": "snk.batch.commands.trigger",
    "runs": "snk.batch.commands.runs",
    "show": "snk.batch.commands.show",
    "why": "snk.batch.commands.why",
    "cancel": "snk.batch.commands.cancel",
    "skip": "snk.batch.commands.skip",
    "rerun": "snk.batch.commands.rerun",
    "pause": "snk.batch.commands.pause",
    "resume": "snk.batch.commands.resume",
    "token": "snk.batch.commands.token",
    "keys": "snk.batch.commands.keys",
    "consumer": "snk.batch.commands.consumer.group",
    "demo": "snk.batch.commands.demo",
    "backfill": "snk.batch.commands.backfill",
    "alerts": "snk.batch.commands.alerts",
}
"""Maps each command to its module; the command is the function of the same name in it, or `group` if it has some."""

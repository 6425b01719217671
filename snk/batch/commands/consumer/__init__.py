"""The commands of a consumer, one file each."""

COMMANDS = {
    "run": "snk.batch.commands.consumer.run",
    "init": "snk.batch.commands.consumer.init",
    "runs": "snk.batch.commands.consumer.runs",
    "rejected": "snk.batch.commands.consumer.rejected",
    "token": "snk.batch.commands.consumer.token",
    "keys": "snk.batch.commands.consumer.keys",
}
"""Maps each command to its module; the command is the function of the same name in it, or `group` if it has some."""
DEFAULT = "run"
"""What ``snk batch consumer`` alone means."""

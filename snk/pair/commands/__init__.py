"""The commands of the pair, one file each. A command parses, builds the settings, calls one function, and prints."""

COMMANDS = {
    "up": "snk.pair.commands.up",
    "drill": "snk.pair.commands.drill",
    "doctor": "snk.pair.commands.doctor",
    "init": "snk.pair.commands.init",
    "run": "snk.pair.commands.run",
    "status": "snk.pair.commands.status",
    "plan": "snk.pair.commands.plan",
    "verify": "snk.pair.commands.verify",
    "apply": "snk.pair.commands.apply",
    "rejected": "snk.pair.commands.rejected",
    "retry": "snk.pair.commands.rejected",
    "why": "snk.pair.commands.why",
}
"""Maps each command to its module; the command is the function of the same name in it."""

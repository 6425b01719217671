"""The commands of the pair, a file for each: it parses, builds the settings, calls one function, and prints."""

COMMANDS = {
    "up": "snk.pair.commands.up",
    "drill": "snk.pair.commands.drill",
    "doctor": "snk.pair.commands.doctor",
    "init": "snk.pair.commands.init",
    "run": "snk.pair.commands.run",
    "status": "snk.pair.commands.status",
    "verify": "snk.pair.commands.verify",
    "rejected": "snk.pair.commands.rejected",
    "retry": "snk.pair.commands.rejected",
}
"""The module in which a command is the function of the same name."""

"""The commands of the re-sync, one file each. A command parses, builds the settings, calls one function, and prints."""

COMMANDS = {
    "sync": "snk.resync.commands.sync",
    "check": "snk.resync.commands.check",
    "plan": "snk.resync.commands.plan",
    "apply": "snk.resync.commands.apply",
    "watch": "snk.resync.commands.watch",
    "history": "snk.resync.commands.history",
    "doctor": "snk.resync.commands.doctor",
    "init": "snk.resync.commands.init",
    "demo": "snk.resync.commands.demo",
    "init-demo": "snk.resync.commands.demo",
}
"""Maps each command to its module; the command is the function of the same name in it."""
DEFAULT = "sync"
"""What ``snk resync PROJECT`` means."""

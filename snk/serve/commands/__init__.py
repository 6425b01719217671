"""The commands of the service, one file each: a command parses, builds the settings, calls a function, and prints."""

COMMANDS = {
    "run": "snk.serve.commands.run",
    "init": "snk.serve.commands.init",
    "doctor": "snk.serve.commands.doctor",
    "token": "snk.serve.commands.token",
    "keys": "snk.serve.commands.keys",
}
"""Maps each command to its module; the command is the function of the same name in it, or `group` if it has some."""
DEFAULT = "run"
"""What ``snk serve`` alone means."""

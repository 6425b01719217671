"""The commands of the hand-off, one file each: a command parses, builds the settings, calls a function, and prints."""

COMMANDS = {
    "run": "snk.handoff.commands.run",
    "status": "snk.handoff.commands.status",
    "top": "snk.handoff.commands.top",
    "tap": "snk.handoff.commands.tap",
    "pause": "snk.handoff.commands.pause",
    "resume": "snk.handoff.commands.pause",
    "dead": "snk.handoff.commands.dead",
    "import": "snk.handoff.commands.take_in",
    "doctor": "snk.handoff.commands.doctor",
    "decode": "snk.handoff.commands.decode",
    "front": "snk.handoff.commands.front",
    "demo": "snk.handoff.commands.demo",
}
"""Maps each command to its module; the command is the function of the same name in it, or `group` if it has some."""

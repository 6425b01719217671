"""The commands of the pipeline, one file each."""

_HERE = "snk.pipeline.commands"
COMMANDS = {
    "run": f"{_HERE}.run",
    "pull": f"{_HERE}.pull",
    "push": f"{_HERE}.push",
    "status": f"{_HERE}.status",
    "verify": f"{_HERE}.verify",
    "again": f"{_HERE}.again",
    "quarantine": f"{_HERE}.quarantine",
    "gc": f"{_HERE}.gc",
    "doctor": f"{_HERE}.doctor",
    "demo": f"{_HERE}.demo",
}
"""Where each command is."""

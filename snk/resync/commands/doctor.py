"""``snk resync doctor``: check what the re-sync needs."""

import json
from dataclasses import asdict

import typer
import uvloop

from snk.resync.commands.common import Config, Json, place
from snk.resync.doctor import Finding, examine
from snk.resync.run import Place


def doctor(*, as_json: Json = False, config: Config = None) -> None:
    """Check servers, names and rights. Changes nothing; exit code 1 if anything prevents a check."""
    findings = uvloop.run(_examine(place(config), quiet=as_json))
    healthy = all(finding.level != "error" for finding in findings)
    if as_json:
        print(json.dumps({"healthy": healthy, "findings": [asdict(finding) for finding in findings]}))
    raise typer.Exit(0 if healthy else 1)


async def _examine(where: Place, *, quiet: bool) -> list[Finding]:
    findings: list[Finding] = []
    async for finding in examine(where):
        findings.append(finding)
        if not quiet:
            print(f"{finding.level:8}{finding.subject}: {finding.message}")
            if finding.advice:
                print(f"        {finding.advice}")
    return findings

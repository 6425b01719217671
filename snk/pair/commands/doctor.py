"""``snk doctor``: check a pair before the first run."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.markup import escape

from snk.pair.commands.common import pair_of, start
from snk.pair.doctor import Finding, examine
from snk.pair.settings import Settings

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check servers, rights, tables and Redis. Changes nothing; exit code 1 if anything prevents SNK from running."""
    findings = uvloop.run(_examine(start(), as_json=as_json))
    healthy = all(finding.level != "error" for finding in findings)
    if as_json:
        print(json.dumps({"healthy": healthy, "findings": [asdict(finding) for finding in findings]}))
    raise typer.Exit(0 if healthy else 1)


async def _examine(settings: Settings, *, as_json: bool) -> list[Finding]:
    console = Console(highlight=False)
    findings: list[Finding] = []
    async for finding in examine(pair_of(settings), settings.redis_dsn):
        findings.append(finding)
        if not as_json:
            colour = COLOURS[finding.level]
            console.print(
                f"[{colour}]{finding.level:8}[/]{escape(finding.subject)}: {escape(finding.message)}", soft_wrap=True
            )
            if finding.advice:
                console.print(f"        {escape(finding.advice)}", style="dim", soft_wrap=True)
    return findings

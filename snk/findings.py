"""Prints what a doctor finds, as it finds it."""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape

from snk.core.finding import Finding

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


async def tell(found: AsyncIterator[Finding], *, as_json: bool) -> bool:
    """Print all findings, one by one or as one JSON document; return whether none is an error."""
    console = Console(highlight=False)
    findings: list[Finding] = []
    async for finding in found:
        findings.append(finding)
        if not as_json:
            _print(finding, console)
    healthy = all(finding.level != "error" for finding in findings)
    if as_json:
        print(json.dumps({"healthy": healthy, "findings": [asdict(each) for each in findings]}))  # noqa: T201
    return healthy


def _print(finding: Finding, console: Console) -> None:
    level = f"[{COLOURS[finding.level]}]{finding.level:8}[/]"
    console.print(f"{level}{escape(finding.subject)}: {escape(finding.message)}", soft_wrap=True)
    if finding.advice:
        console.print(f"        {escape(finding.advice)}", style="dim", soft_wrap=True)

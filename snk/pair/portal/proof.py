"""The proofs of equality in a browser: the last one of each table, and comparisons that somebody asks for now."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from starlette.requests import Request

from snk.core.words import counted
from snk.errors import SettingsError
from snk.http.portal.page import Action, Done, Form, Page
from snk.pair.core.report import AskedState, DaemonStatus, SweepStatus
from snk.pair.schema.own import CANARIES
from snk.pair.sync.daemon import Daemon

PROOF, VERIFY = "/proof", "/proof/verify"
MOST_LISTED = 200
MOST_TOLD = 20
STATES: tuple[AskedState, ...] = ("failed", "different", "running", "waiting", "equal")
"""The worst first."""
LOOKS: Mapping[AskedState, str] = {
    "failed": "bad",
    "different": "warn",
    "running": "soft",
    "waiting": "soft",
    "equal": "good",
}

log = structlog.get_logger()


class ProofPages:
    """The pages about proofs of equality."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._asked_for: Sequence[str] = ()

    def pages(self) -> list[Page]:
        """All pages."""
        return [
            Page(PROOF, "Proof", "proof.html", self._list, ("asked", "proofs"), "Proof"),
            Page(VERIFY, "Verify now", "verify.html", self._verifying),
        ]

    def actions(self) -> list[Action]:
        """What their form does."""
        return [Action(VERIFY, self._verify, PROOF)]

    async def _list(self, request: Request) -> Mapping[str, Any]:
        status, wanted = self._daemon.status(), request.query_params.get("q", "")
        sweeps = [sweep for sweep in worst_first(status) if wanted.lower() in sweep.table.lower()]
        return {"sweeps": sweeps[:MOST_LISTED], "found": len(sweeps), "q": wanted, **self._asked(status)}

    def _asked(self, status: DaemonStatus) -> Mapping[str, Any]:
        """What became of the comparisons that were asked for last."""
        told = {sweep.table: sweep for sweep in status.sweeps}
        sweeps = [told[table] for table in self._asked_for if table in told]
        answers = [sweep.asked for sweep in sweeps if sweep.asked]
        open_ = [sweep for sweep in sweeps if sweep.asked and sweep.asked.state != "equal"]
        counts = Counter(answer.state for answer in answers)
        found = [sweep for sweep in sweeps if sweep.asked and (sweep.asked.missing or sweep.asked.different)]
        return {
            "asked_for": len(self._asked_for),
            "counts": {state: counts[state] for state in reversed(STATES)},
            "looks": LOOKS,
            "given_away": len(self._asked_for) - len(answers),
            "missing": sum(answer.missing for answer in answers),
            "different": sum(answer.different for answer in answers),
            "open": sorted(open_, key=_urgency)[:MOST_TOLD],
            "more_open": max(0, len(open_) - MOST_TOLD),
            "found_in": found[:MOST_TOLD],
            "more_found": max(0, len(found) - MOST_TOLD),
        }

    async def _verifying(self, request: Request) -> Mapping[str, Any]:
        table = request.query_params.get("table", "")
        sweeps = self._compared(table)
        took = [sweep.seconds for sweep in sweeps if sweep.seconds is not None]
        return {"table": table, "count": len(sweeps), "rows": sum(sweep.rows for sweep in sweeps), "took": sum(took)}

    async def _verify(self, form: Form, _: str) -> Done:
        table = form.get("table", "")
        self._compared(table)
        tables = self._daemon.compare([table] if table else ())
        if not tables:
            return Done("This daemon works on none of these tables now: another one does.", PROOF, ok=False)
        self._asked_for = tables
        log.info("comparison_asked_for", tables=len(tables), only=table or "all")
        return Done(f"{counted(len(tables), 'table')} will be compared as soon as the flows have caught up.", PROOF)

    def _compared(self, table: str) -> list[SweepStatus]:
        """The tables that a comparison would be about: one, or all.

        Raises:
            SettingsError: SNK does not sync it.
        """
        sweeps = worst_first(self._daemon.status())
        named = [sweep for sweep in sweeps if table in ("", sweep.table)]
        if table and not named:
            raise SettingsError(f"SNK does not sync a table {table[:200]}", hint="The page of proofs lists all tables")
        return named


def worst_first(status: DaemonStatus) -> list[SweepStatus]:
    """The tables that are compared: those whose sweep failed first, then the unproven, then by the age of the proof."""
    sweeps = [sweep for sweep in status.sweeps if sweep.table != CANARIES]
    return sorted(
        sweeps, key=lambda each: (not each.error, each.proven_seconds is not None, -(each.proven_seconds or 0))
    )


def _urgency(sweep: SweepStatus) -> tuple[int, str]:
    assert sweep.asked  # noqa: S101 - they were asked for
    return STATES.index(sweep.asked.state), sweep.table

"""What the commands that copy rows have in common: planning, asking, copying, and telling what became of it."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from snk.core.plan import Plan, Question, confirmed
from snk.core.words import counted
from snk.files.atomic import write_whole
from snk.pair.repair.actions import CopyRow
from snk.pair.repair.copy import KIND, Outcome, apply, identity_of
from snk.pair.sync.pair import Pair
from snk.pair.verify.compare import Comparison
from snk.terminal import answer

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Repairs:
    """Repairs of one pair.

    Attributes:
        as_json: print one JSON document for each step.
        yes: do not ask.
    """

    pair: Pair
    as_json: bool = False
    yes: bool = False

    async def planned(self, results: Sequence[Comparison]) -> Plan[CopyRow]:
        """The plan that copies every row that one side lacks; rows that differ are left alone."""
        identity = await identity_of(self.pair.first, self.pair.second)
        return Plan(KIND, identity, datetime.now(UTC).isoformat(), tuple(_copies(results)))

    async def repair(self, results: Sequence[Comparison], out: Path | None, *, dry_run: bool) -> bool:
        """Plan, and write the plan down, show it, or ask and apply it; return whether it was applied."""
        plan = await self.planned(results)
        if out:
            write_whole(out, plan.written() + "\n")
            if not self.as_json:
                print(f"{summary(plan)}; `snk apply {out}` applies it")
        elif dry_run:
            self.show(plan)
        elif self.confirmed(plan):
            await self.apply(plan)
            return True
        return False

    def confirmed(self, plan: Plan[CopyRow]) -> bool:
        """Whether to apply the plan."""
        if not self.as_json:
            print(summary(plan))
        return self.yes or confirmed(Question("repair?"), answer, lambda: self.show(plan), print)

    def show(self, plan: Plan[CopyRow]) -> None:
        """Print every action."""
        if self.as_json:
            print(plan.written())
            return
        for action in plan.actions:
            print(f"  {action}")
        print(summary(plan))

    async def apply(self, plan: Plan[CopyRow]) -> Outcome:
        """Apply the plan, and tell what became of it."""
        outcome = await apply(self.pair.first, self.pair.second, plan, _tell)
        if self.as_json:
            refused = {uuid: why.error for uuid, why in outcome.refused.items()}
            told = {"copied": outcome.copied, "overtaken": len(outcome.overtaken), "refused": refused}
            print(json.dumps({"plan": plan.id, **told}))
            return outcome
        print(f"copied {counted(outcome.copied, 'row')}")
        if outcome.overtaken:
            print(f"  {counted(len(outcome.overtaken), 'row')} need not be copied any more: they came meanwhile")
        for uuid, why in list(outcome.refused.items())[:SHOWN]:
            print(f"  refused: {uuid}: {why.error}")
        if len(outcome.refused) > SHOWN:
            print(f"  and {len(outcome.refused) - SHOWN:,} more were refused")
        return outcome


def summary(plan: Plan[CopyRow]) -> str:
    """What a plan amounts to."""
    counts = {side: sum(action.to == side for action in plan.actions) for side in ("first", "second")}
    to = {side: counted(count, "row") for side, count in counts.items()}
    return f"plan {plan.id}: copy {to['second']} to second, {to['first']} to first"


def _copies(results: Sequence[Comparison]) -> Iterator[CopyRow]:
    for result in results:
        yield from (CopyRow(result.table, uuid, "second") for uuid in result.only_in_first)
        yield from (CopyRow(result.table, uuid, "first") for uuid in result.only_in_second)


def _tell(done: int, of: int) -> None:
    print(f"copied {done:,}/{of:,}", end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr)

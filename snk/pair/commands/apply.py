"""``snk apply``: apply a plan that ``snk verify --repair --out`` or ``snk plan --out`` wrote."""

from pathlib import Path
from typing import Annotated

import typer
import uvloop

from snk.files.plans import read_plan
from snk.pair.commands.common import checked_settings, pair_of
from snk.pair.commands.repairs import Repairs
from snk.pair.commands.verify import compare_all, show
from snk.pair.repair.actions import copy_of
from snk.pair.repair.copy import KIND


def apply(
    file: Annotated[Path, typer.Argument(help="A file that `snk verify --repair --out` wrote.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document for each step.")] = False,
    settle: Annotated[float, typer.Option(min=0, help="Seconds that a difference must last.")] = 5.0,
) -> None:
    """Copy the rows of a plan, and compare both sides again. A plan is applied once, to the databases it was made for.

    Exit code 0 if both sides are equal then, 1 if not, 2 if the plan is refused.
    """
    plan = read_plan(file, KIND, copy_of)
    pair = pair_of(checked_settings())
    uvloop.run(Repairs(pair, as_json=as_json).apply(plan))
    results = uvloop.run(compare_all(pair, settle))
    show(results, limit=20, as_json=as_json)
    raise typer.Exit(0 if all(result.equal for result in results) and not pair.left_out else 1)

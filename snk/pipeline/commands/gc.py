"""``snk pipeline gc``: removes old proofs."""

import json
import re
import time
from typing import Annotated

import typer

from snk.core.words import counted
from snk.errors import SettingsError
from snk.options import Config, Json
from snk.pipeline.proof import Proofs
from snk.pipeline.settings import load_settings
from snk.pipeline.setup import space_of

_UNITS = {"d": 86_400, "h": 3600}


def gc(
    *,
    keep: Annotated[str, typer.Option(help="How long proofs are kept, such as 90d.")],
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Remove the Done files of whole days that are older; their frames stay done."""
    found = re.fullmatch(r"(\d{1,6})([dh])", keep)
    if not found:
        raise SettingsError(f"--keep is {keep!r}", hint="Write a number of days or hours, such as 90d or 36h")
    space = space_of(load_settings(config))
    proofs = Proofs(space)
    proofs.refresh()
    before = time.time() - int(found[1]) * _UNITS[found[2]]
    days = proofs.remove_below(space.grid.ended(before))
    if as_json:
        print(json.dumps({"days": days, "floor": space.grid.iso(proofs.floor)}))
    else:
        print(
            f"The proofs of {counted(days, 'day')} are removed; frames before {space.grid.iso(proofs.floor)} were done"
        )

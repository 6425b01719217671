"""Plans that were written to a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from snk.core.plan import A, Plan, restored
from snk.errors import PlanUnfit


def read_plan(file: Path, kind: str, action_of: Callable[[dict[str, Any]], A]) -> Plan[A]:
    """The plan in a file; `snk.core.plan.restored` describes the other arguments.

    Raises:
        PlanUnfit: the file cannot be read, or does not hold such a plan as it was made.
    """
    try:
        return restored(file.read_text(), kind, action_of)
    except OSError as error:
        raise PlanUnfit(f"{str(file)!r} cannot be read: {error.strerror}", hint="Name a plan") from None
    except (ValueError, KeyError, TypeError) as error:
        raise PlanUnfit(f"{str(file)!r} cannot be applied: {error}", hint="Make a new plan") from None

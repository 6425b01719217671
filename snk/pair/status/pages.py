"""What the daemon's endpoints show: the fields of its status by their names, and the values derived from them."""

from dataclasses import fields
from functools import partial
from operator import attrgetter
from typing import Any

from snk.http.pages import Pages
from snk.pair.core.report import DaemonStatus, FlowStatus
from snk.pair.status.metrics import StatusCollector

_OF_DAEMON = tuple(field.name for field in fields(DaemonStatus))
_OF_FLOW = (*(field.name for field in fields(FlowStatus)), "name")
_values = attrgetter(*_OF_FLOW)


def as_json(status: DaemonStatus) -> dict[str, Any]:
    """The status as ``/status`` shows it; what is the same there as in the value stays a dataclass.

    Copies in depth, as `dataclasses.asdict` makes, take ten times as long, and there may be thousands of flows.
    """
    told = {name: getattr(status, name) for name in _OF_DAEMON}
    flows = [dict(zip(_OF_FLOW, _values(flow), strict=True)) for flow in status.flows]
    return {"healthy": status.healthy, **told, "flows": flows}


def pages(*, of_tables: bool = True) -> Pages[DaemonStatus]:
    """What the endpoints show.

    Args:
        of_tables: whether metrics have a series per table; otherwise they are those of all tables together.
    """
    return Pages(as_json, partial(StatusCollector, of_tables=of_tables))

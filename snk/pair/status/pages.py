"""What the daemon's endpoints show: the fields of its status by their names, and the values derived from them."""

from dataclasses import asdict
from typing import Any

from snk.http.pages import Pages
from snk.pair.core.report import DaemonStatus
from snk.pair.status.metrics import StatusCollector


def as_json(status: DaemonStatus) -> dict[str, Any]:
    """The status as ``/status`` shows it."""
    told = asdict(status)
    for flow, values in zip(told["flows"], status.flows, strict=True):
        flow["name"] = values.name
    return {"healthy": status.healthy, **told}


PAGES: Pages[DaemonStatus] = Pages(lambda status: status.troubles, as_json, StatusCollector)

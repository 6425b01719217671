"""A consumer that answers every call at once, and tells how many came and when the first and the last did."""

import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bench.scenarios.pipeline import serving
from snk.embedded.process import free_port


@contextmanager
def consumer() -> Iterator[int]:
    """A consumer as a process; its port."""
    port = free_port()
    with serving(["-c", _CONSUMER, str(port)], f"http://127.0.0.1:{port}/report"):
        yield port


def report(port: int) -> dict[str, float]:
    """What it tells: ``count`` of calls and of ``runs``, the times of the ``first`` and the ``last`` call."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/report", timeout=30) as answer:
        found: dict[str, float] = json.load(answer)
        return found


def figures(tasks: int, told: Mapping[str, float], moment: float, own_cpu: float) -> dict[str, float]:
    """How soon a consumer was called for tasks that were all due at one moment.

    Args:
        tasks: how many.
        told: by the consumer.
        moment: in seconds since 1970.
        own_cpu: seconds of the processor that calling took.
    """
    return {
        "started_seconds": told["last"] - moment,
        "first_ms": (told["first"] - moment) * 1000,
        "per_second": tasks / (told["last"] - moment),
        "own_cpu": own_cpu,
        "lost": tasks - told["runs"],
    }


_CONSUMER = """
import sys, time
from aiohttp import web
import orjson, uvloop
first = last = 0.0
count = 0
runs = set()
async def call(request):
    global first, last, count
    asked = orjson.loads(await request.read())
    last = time.time()
    first = first or last
    count += 1
    runs.add(asked["run"])
    told = {"fence": asked["fence"], "state": "COMPLETED", "files": {}}
    return web.Response(body=orjson.dumps(told), content_type="application/json")
async def report(request):
    return web.json_response({"first": first, "last": last, "count": count, "runs": len(runs)})
app = web.Application()
app.router.add_post("/v1/tasks/{task}", call)
app.router.add_get("/report", report)
uvloop.install()
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""

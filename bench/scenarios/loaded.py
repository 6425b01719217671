"""How fast a consumer loads and reconciles records from a provider, against dlt, which loads them without that proof.

Both ask the same `snk serve` for the same pages, and merge by key into a table of the other server that holds the
records already, as a daily load does. What counts is the time of the load itself, without the start of Python.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID

from bench.ground import Ground, ground, number, run
from bench.results import Result
from bench.scenarios.pipeline import serving
from snk.embedded.process import free_port

FILES = tuple(f"file{number}" for number in range(1, 6))
PAGE_ROWS = 5000
START, END = "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"
COLUMNS = ("uid", "created_at", "value", "note")
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Loaded:
    """Records in five files, loaded for the first time and once more; by dlt only if it is installed."""

    records: int

    def run(self, rounds: int) -> Iterator[Result]:
        """Run both ways, round by round; every other round runs in reverse order."""
        ways = {"dlt": _dlt, "snk": _snk} if find_spec("dlt") else {"snk": _snk}
        for at in range(1, rounds + 1):
            for name in ways if at % 2 else reversed(ways):
                with (
                    ground() as fresh,
                    tempfile.TemporaryDirectory() as folder,
                    _provider(fresh, Path(folder), self) as provider,
                ):
                    for again, seconds in enumerate(ways[name](fresh, Path(folder), provider)):
                        case = f"{self.records:,} records{', which are there already' if again else ''}"
                        figures = {"records_per_second": self.records / seconds, "lost": _lost(fresh, name, self)}
                        yield Result(case, name, at, figures)


@contextmanager
def _provider(fresh: Ground, folder: Path, load: Loaded) -> Iterator[str]:
    """A provider with all files; its address."""
    asyncio.run(_fill(fresh, load.records // len(FILES)))
    port = free_port()
    config = folder / "serve.toml"
    tables = "".join(
        f'[serve.datasets.{name}]\ntable = "public.{name}"\nkey = "uid"\ntime = "created_at"\n'
        f"read = {json.dumps(COLUMNS)}\n"
        for name in FILES
    )
    config.write_text(f'[serve]\ndatabase = "{fresh.pair.first.dsn}"\nport = {port}\n{tables}')
    address = f"http://127.0.0.1:{port}"
    with serving(["-m", "snk", "serve", "--config", str(config)], f"{address}/health"):
        yield f"{address}/v1"


async def _fill(fresh: Ground, rows: int) -> None:
    columns = "(uid text primary key, created_at timestamptz not null, value integer not null, note text not null)"
    for name in FILES:
        for side in fresh.sides:
            await run(side, f"create table {name} {columns}")
            await run(side, f"create index on {name} (created_at)")
        await run(
            fresh.sides[0],
            f"insert into {name} select '{name}-' || lpad(n::text, 9, '0'),"
            f" timestamptz '{START}' + n * interval '1 ms', n, md5(n::text) from generate_series(1, {rows}) n",
        )
        await run(fresh.sides[0], f"analyze {name}")


def _snk(fresh: Ground, folder: Path, provider: str) -> Iterator[float]:
    """Load with a consumer; how long that takes, twice."""
    port = free_port()
    config = folder / "consumer.toml"
    config.write_text(f'[consumer]\ndatabase = "{fresh.pair.second.dsn}"\nport = {port}\npage_rows = {PAGE_ROWS}\n')
    words = ["-m", "snk", "batch", "consumer"]
    subprocess.run([sys.executable, *words, "init", "--config", str(config)], check=True, stdout=subprocess.DEVNULL)
    with serving([*words, "--config", str(config)], f"http://127.0.0.1:{port}/health"):
        for number in (1, 2):
            began = time.monotonic()
            _work(port, number, provider)
            yield time.monotonic() - began


def _work(port: int, number: int, provider: str) -> None:
    """Call the consumer as a platform does, until its run is complete."""
    options = {"key": "uid", "columns": COLUMNS, "from": START, "to": END}
    files = {
        name: {"source": f"{provider}/{name}", "options": {**options, "target": f"public.{name}"}} for name in FILES
    }
    call = {"run": number, "uid": str(UUID(int=number)), "task": "load", "since": 1, "files": files}
    call |= {"payload": {}, "callback": ""}
    fence = 0
    while True:
        fence += 1
        told = _post(f"http://127.0.0.1:{port}/v1/tasks/load", {**call, "fence": fence})
        if told["state"] == "COMPLETED":
            return
        if told["state"] not in ("WAITING", "RUNNING"):
            raise RuntimeError(f"the run is {told['state']}: {told['reason']}")
        time.sleep(LOOK_SECONDS)


def _post(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310 - of ours
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
        found: dict[str, Any] = json.load(answer)
        return found


def _dlt(fresh: Ground, folder: Path, provider: str) -> Iterator[float]:
    """Load with dlt; how long that takes, twice."""
    for _ in range(2):
        words = [sys.executable, "-c", _PROGRAM, provider, fresh.pair.second.dsn, str(folder), ",".join(FILES)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        yield float(done.stdout.splitlines()[-1])


def _lost(fresh: Ground, name: str, load: Loaded) -> float:
    schema = "loaded" if name == "dlt" else "public"

    async def there() -> int:
        counts = [await _count(fresh, f"{schema}.{each}") for each in FILES]
        return sum(counts)

    return load.records // len(FILES) * len(FILES) - asyncio.run(there())


async def _count(fresh: Ground, table: str) -> int:
    return await number(fresh.sides[1], f"select count(distinct uid) from {table}")


_PROGRAM = f"""
import sys, time
import dlt
from dlt.sources.rest_api import rest_api_source
provider, dsn, folder, names = sys.argv[1:]
params = {{"limit": {PAGE_ROWS}, "from": "{START}", "to": "{END}"}}
source = rest_api_source({{
    "client": {{
        "base_url": provider,
        "paginator": {{"type": "cursor", "cursor_path": "next", "cursor_param": "after"}},
    }},
    "resource_defaults": {{
        "primary_key": "uid",
        "write_disposition": "merge",
        "endpoint": {{"params": params, "data_selector": "items"}},
    }},
    "resources": [{{"name": name, "endpoint": {{"path": name}}}} for name in names.split(",")],
}})
pipeline = dlt.pipeline(
    "load", destination=dlt.destinations.postgres(dsn), dataset_name="loaded", pipelines_dir=folder
)
began = time.monotonic()
pipeline.run(source)
print(time.monotonic() - began)
"""

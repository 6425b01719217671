"""How soon a queue of jobs calls the consumers of very many jobs that are due at the same moment.

procrastinate keeps jobs in PostgreSQL, too, and a worker calls as many at once as a node does. It is what the platform
would have been built on, had its own statement not been as fast: a job there is taken and ended one by one, without a
fence, a key for ever, a history of calls or an audit.
"""

import subprocess
import sys
import time
from subprocess import PIPE

import psutil

from bench.ground import ground
from bench.scenarios.consumer import consumer, figures, report
from bench.scenarios.pipeline import until

CALLS_AT_ONCE = 100
POLL_SECONDS = 0.5


def due(tasks: int) -> dict[str, float]:
    """Defer so many jobs, make them due at one moment, and measure as for a platform."""
    with ground() as fresh, consumer() as port:
        given = [fresh.pair.first.dsn, *map(str, (port, tasks, CALLS_AT_ONCE, POLL_SECONDS))]
        with subprocess.Popen([sys.executable, "-c", _PROGRAM, *given], stdin=PIPE, stdout=PIPE) as worker:
            assert worker.stdin  # noqa: S101 - a pipe
            assert worker.stdout  # noqa: S101 - as above
            worker.stdout.readline()
            watched, moment = psutil.Process(worker.pid), time.time()
            before = watched.cpu_times()
            worker.stdin.write(b"\n")
            worker.stdin.flush()
            until(lambda: report(port)["count"] >= tasks)
            told, spent = report(port), watched.cpu_times()
            worker.terminate()
        return figures(tasks, told, moment, sum(spent[:2]) - sum(before[:2]))


_PROGRAM = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
import aiohttp, procrastinate, uvloop
dsn, port, tasks, at_once, poll = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=dsn, min_size=4, max_size=10))
session = None
@app.task(name="call")
async def call(run):
    url = f"http://127.0.0.1:{port}/v1/tasks/t{run}"
    async with session.post(url, json={"run": run, "fence": 1, "files": {}}) as answer:
        assert (await answer.json())["state"] == "COMPLETED"
async def main():
    global session
    async with app.open_async(), aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:
        await app.schema_manager.apply_schema_async()
        later = datetime.now(UTC) + timedelta(days=1)
        deferrer = call.configure(schedule_at=later)
        for begin in range(0, tasks, 1000):
            await deferrer.batch_defer_async(*({"run": run} for run in range(begin, min(begin + 1000, tasks))))
        await app.connector.execute_query_async("analyze procrastinate_jobs")
        worker = asyncio.create_task(app.run_worker_async(
            concurrency=at_once, fetch_job_polling_interval=poll, delete_jobs="successful"
        ))
        await asyncio.sleep(2)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await app.connector.execute_query_async("update procrastinate_jobs set scheduled_at = now()")
        await worker
uvloop.run(main())
"""

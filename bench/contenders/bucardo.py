"""Bucardo 5.6, which keeps tables equal with triggers and a daemon in Perl."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from bench.contenders.contender import Contender
from bench.ground import Ground, last_id, run
from snk.embedded.identity import children_of, is_ours, process_of
from snk.embedded.postgres import PostgresServer
from snk.embedded.process import PLAIN_ENVIRONMENT, spawn
from snk.errors import ServersUnfit

DEBIAN_SERVERS = Path("/usr/lib/postgresql")
PASSWORD = "postgres"  # noqa: S105 - of a server that lives for one run
MARK = "Bucardo Master Control Program"  # the title of its first process
COMMAND_SECONDS = 60.0
STOP_SECONDS = 20.0
# How long its processes sleep between polls. The default is up to half a second, and a row passes three of them.
SLEEP_SECONDS = 0.01
SLEEPS = ("mcp_loop_sleep", "ctl_sleep", "kid_sleep", "kid_nodeltarows_sleep")


class OwnServer(PostgresServer):
    """A server from Debian's packages for Bucardo's own database, which needs PL/Perl."""

    def executable(self, name: str) -> Path:
        """The path of one of Debian's programs."""
        return _programs() / name


class Bucardo(Contender):
    """One sync with both databases as sources, triggered by every statement that inserts.

    Bucardo identifies a row by its primary key, so it also copies the ids. Hence the first side draws odd ids and the
    second even ones, the first of the methods that its documentation names as best practice.

    Its own database is in a third server, whose processor time is not counted, as that of SNK's Redis is not.
    """

    name = "bucardo"
    stalled_seconds = 120.0  # it copies everything in one transaction: nothing is visible until its end

    def absent(self) -> str:
        """Which required program is not installed, or an empty string."""
        if not shutil.which("bucardo"):
            return "there is no program bucardo on the PATH"
        if not _programs().is_dir():
            return f"there is no PostgreSQL with PL/Perl in {DEBIAN_SERVERS}"
        return ""

    async def start(self, ground: Ground, tables: Sequence[str]) -> None:
        """Create its database, configure the sync, and start its daemon."""
        self._sides = ground.sides
        self._home = ground.pair.state / "bucardo-home"
        self._home.mkdir()
        self._server = OwnServer(ground.pair.state / "bucardo", ground.pair.state, user="bucardo", password=PASSWORD)
        try:
            self._server.start()
            await self._draw_apart(tables)
            self._install()
            self._describe(tables)
            self._call("start", "race")
            self._call("ping", "30")
            self._call("kick", "pair", "30")
        except BaseException:
            await self.stop()
            raise

    async def pause(self) -> None:
        """Stop its processes with SIGSTOP."""
        self._send(signal.SIGSTOP)

    async def resume(self) -> None:
        """Continue its processes."""
        self._send(signal.SIGCONT)

    async def stop(self) -> None:
        """Stop its daemon and its server, and drop its triggers."""
        self._send(signal.SIGCONT)
        family = self._family()
        if family:
            with contextlib.suppress(ServersUnfit):  # then it is killed
                self._call("stop", "over")
        await self._until_gone(family)
        self._server.stop("immediate")
        for side in self._sides:
            await run(side, "drop schema if exists bucardo cascade")
        shutil.rmtree(self._home, ignore_errors=True)
        shutil.rmtree(self._server.folder, ignore_errors=True)

    @property
    def pids(self) -> Sequence[int]:
        """Its first process, which is the parent of the others."""
        return self._family()[:1]

    async def _draw_apart(self, tables: Sequence[str]) -> None:
        """Let one side draw odd ids and the other even ones, above all existing ids."""
        for table in tables:
            high = max([await last_id(side, table) for side in self._sides])
            for number, side in enumerate(self._sides, start=1):
                start = high + high % 2 + number
                await run(side, f"alter table {table} alter id set increment 2 restart {start}")

    def _install(self) -> None:
        """Install its database, and write settings that point into our folder and keep its sleeps short."""
        given = {
            "dbhost": "127.0.0.1",
            "dbport": str(self._server.port),
            "dbname": "bucardo",
            "dbuser": "bucardo",
            "dbpass": PASSWORD,
            "logdest": str(self._home),
            "sendmail": "0",
        }
        self._call("install", "--batch", "--no-bucardorc", f"--dbport={self._server.port}", "--dbhost=127.0.0.1",
            "--dbuser=bucardo", "--dbname=postgres", f"--piddir={self._home}")  # fmt: skip
        (self._home / ".bucardorc").write_text("".join(f"{name} = {value}\n" for name, value in given.items()))
        files = {name: self._home / name for name in ("reason_file", "log_conflict_file", "warning_file")}
        self._call("set", *(f"{name}={path}" for name, path in files.items()))
        self._call("set", *(f"{name}={SLEEP_SECONDS}" for name in SLEEPS))
        self._call("set", "mcp_dbproblem_sleep=0")  # it ends with its server, that is, also when this process is killed

    def _describe(self, tables: Sequence[str]) -> None:
        """Register both databases and the sync between them, which creates its triggers there."""
        for side in self._sides:
            url = urlsplit(side.dsn)
            self._call("add", "db", side.label, "dbname=postgres", f"host={url.hostname}", f"port={url.port}",
                f"user={url.username}", f"pass={url.password}")  # fmt: skip
        self._call("add", "dbgroup", "both", *(f"{side.label}:source" for side in self._sides))
        self._call("add", "sync", "pair", "dbs=both", f"tables={','.join(tables)}", "autokick=1")

    def _call(self, *words: str) -> None:
        """Run ``bucardo`` and wait until it has exited successfully."""
        program = shutil.which("bucardo")
        if not program:
            raise ServersUnfit(self.absent())
        values = {
            **PLAIN_ENVIRONMENT,
            "HOME": str(self._home),
            "PGBINDIR": str(_programs()),
            "PGPASSWORD": PASSWORD,
        }
        log = self._home / "commands.log"
        child = spawn([program, *words], self._home, log, None, signal.SIGTERM, environment=values)
        child.wait(COMMAND_SECONDS)

    def _family(self) -> list[int]:
        """Its processes, parents before their children."""
        file = self._home / "bucardo.mcp.pid"
        first = int(file.read_text().split()[0]) if file.exists() else 0
        found = [first] if first and is_ours(first, MARK) else []
        for pid in found:
            found += children_of(pid)
        return found

    def _send(self, number: int) -> None:
        for pid in self._family():
            os.kill(pid, number)

    async def _until_gone(self, family: Sequence[int]) -> None:
        """Wait until these processes have ended, and kill those that take too long."""
        for _ in range(int(STOP_SECONDS / 0.1)):
            if not any(process_of(pid) for pid in family):
                return
            await asyncio.sleep(0.1)
        for pid in family:
            if process_of(pid):
                os.kill(pid, signal.SIGKILL)


def _programs() -> Path:
    """The folder of the programs of the newest server that has PL/Perl."""
    found = sorted(DEBIAN_SERVERS.glob("*/lib/plperl.so"), key=lambda path: int(path.parts[-3]))
    return found[-1].parents[1] / "bin" if found else DEBIAN_SERVERS / "none"

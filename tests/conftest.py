"""Real servers for every test: one embedded pair for all of them, and one of their own for those that break servers."""

import itertools
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from playwright.async_api import Browser

from snk.cli.inherited import settle
from snk.embedded.postgres import PostgresServer
from snk.pair.servers import EmbeddedPair, embedded_pair
from snk.signals import hear_ctrl_c
from tests.kit import looks
from tests.kit.browser import opened

# Tests prove what happens when processes and servers die, not when the machine does.
OPTIONS = {"fsync": "off", "max_connections": "200", "max_prepared_transactions": "50"}
names = (f"test_{os.getpid()}_{number}" for number in itertools.count(1))


# How long an example takes is up to the machine.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")
# Variables by which a developer's own pair would get into the tests.
PREFIXES = ("SNK_", "FIRST_DB_", "SECOND_DB_", "DB_", "REDIS_", "POSTGRES_", "PG")


@dataclass(frozen=True)
class PairUrls:
    """Where a test finds its databases and its Redis."""

    first: str
    second: str
    redis: str


def pytest_configure(config: pytest.Config) -> None:
    """Start from a known state, as in a terminal, so that the programs that tests start do, too."""
    if folder := config.getoption("--pictures"):
        folder.mkdir(parents=True, exist_ok=True)
        looks.pictures = folder
    settle()
    hear_ctrl_c()
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.umask(0o022)
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        del os.environ[name]
    # Tests trust authorities of their own only; loading those of the machine takes each process a tenth of a second.
    os.environ["SSL_CERT_FILE"] = os.devnull


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long and how often the tests that take their time take it."""
    parser.addoption("--long", action="store_true", help="also those that take long")
    parser.addoption("--full", action="store_true", help="all, every variant of each, and in full size: hours")
    parser.addoption("--seconds", type=float, default=4.0, help="how long hostile writers write")
    parser.addoption(
        "--rows", type=int, default=100_000, help="how large the loads are that are to need bounded memory"
    )
    parser.addoption(
        "--settings", choices=("some", "all"), default="some", help="which of its role's settings are tried"
    )
    parser.addoption("--pictures", type=Path, help="a folder for pictures of the pages that tests look at")
    parser.addoption("--runs", type=int, default=1, help="how often such a test is run, each with a seed of its own")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with a seed as often as wanted."""
    if "run" in metafunc.fixturenames:
        metafunc.parametrize("run", range(1, metafunc.config.getoption("--runs") + 1))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless it is asked for, be it by its name."""
    if config.getoption("--full") or any("::" in argument for argument in config.args):
        return
    variants: dict[str, list[pytest.Item]] = {}
    for item in items:
        if not item.get_closest_marker("full"):
            variants.setdefault(item.nodeid.partition("[")[0], []).append(item)
    long = config.getoption("--long")
    kept = {item for each in variants.values() for item in _sample(each, long=long)}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def _sample(variants: list[pytest.Item], *, long: bool) -> list[pytest.Item]:
    """Of the variants of a test those that are always tried, spread evenly; those that take long only if wanted."""
    variants = [item for item in variants if long or not item.get_closest_marker("long")]
    if not variants:
        return []
    sampled = variants[0].get_closest_marker("sampled")
    count = sampled.args[0] if sampled else len(variants)
    return [variants[at * len(variants) // count] for at in range(min(count, len(variants)))]


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that the servers' account can enter, also where pytest's own is root's alone."""
    with tempfile.TemporaryDirectory(prefix="snk-tests-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def place(folder: Path) -> Path:
    """An empty folder that the servers' account can enter."""
    made = folder / next(names)
    made.mkdir(mode=0o755)
    return made


@pytest.fixture(scope="session")
def servers(folder: Path) -> Iterator[EmbeddedPair]:
    """The servers that all tests share."""
    with embedded_pair(folder / "shared", user="postgres", password="postgres", options=OPTIONS) as pair:
        yield pair


@pytest.fixture(scope="session")
def unused_servers(folder: Path) -> Path:
    """The state folder of servers that were created and never used: a copy of it is there sooner than new ones."""
    made = folder / "unused"
    with embedded_pair(made, user="postgres", password="postgres", options=OPTIONS):
        return made


@pytest.fixture
def own_servers(folder: Path, unused_servers: Path) -> Iterator[EmbeddedPair]:
    """Servers for one test, to be crashed and stopped at will."""
    state = folder / next(names)
    subprocess.run(["cp", "-a", unused_servers, state], check=True)
    with embedded_pair(state, user="postgres", password="postgres", options=OPTIONS) as pair:
        yield pair


@pytest.fixture
def pair(servers: EmbeddedPair) -> Iterator[PairUrls]:
    """A fresh database on each shared server, and an empty Redis."""
    with fresh_pair(servers) as made:
        yield made


@contextmanager
def fresh_pair(servers: EmbeddedPair, options: tuple[str, str] = ("", "")) -> Iterator[PairUrls]:
    """A fresh database on each server, made with these options of CREATE DATABASE, and an empty Redis."""
    name = next(names)
    both = (servers.first, servers.second)
    for server, option in zip(both, options, strict=True):
        psql(server, f"create database {name} strategy file_copy {option}")
    servers.redis.restart()
    first, second = (server.dsn.removesuffix("postgres") + name for server in both)
    try:
        yield PairUrls(first, second, servers.redis.dsn)
    finally:
        for server in both:
            psql(server, f"drop database {name} with (force)")


@pytest.fixture
def own_pair(own_servers: EmbeddedPair) -> PairUrls:
    """The databases of one's own servers."""
    return PairUrls(own_servers.first.dsn, own_servers.second.dsn, own_servers.redis.dsn)


def psql(server: PostgresServer, statement: str) -> None:
    """Run a statement with PostgreSQL's own client."""
    subprocess.run([server.executable("psql"), "-qX", "-d", server.dsn, "-c", statement], check=True)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests; they are skipped if there is none."""
    async with opened() as found:
        yield found

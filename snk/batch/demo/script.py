"""What the demo plays: the datasets of the provider, the tasks and groups, and the settings of every process."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MESSAGE = "day.ready"
START, END = "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"
TASKS = {
    "trades": ("trades_eu", "trades_us"),
    "quotes": ("quotes",),
    "accounts": ("accounts",),
    "balances": ("balances",),
}
"""The files of each task."""
GROUPS = {"market": ("ASYNC", ("trades", "quotes")), "books": ("SYNC", ("accounts", "balances"))}
FILES = tuple(name for names in TASKS.values() for name in names)
CORRUPTED = "balances"
"""The file of which a record is changed on its way."""
COLUMNS = ("uid", "created_at", "amount", "note")
LEASE_SECONDS, INTERVAL_SECONDS = 2.0, 1.0
PAGE_ROWS = 500


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens.

    Attributes:
        platforms: of the nodes, by their names.
        consumers: of the consumers, by their names.
    """

    provider: int
    platforms: Mapping[str, int]
    consumers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Keys:
    """Folders of the signing keys of the platform and of the consumers."""

    platform: Path
    consumer: Path


def provider_table(url: str, port: int, keys: Keys) -> str:
    """The settings of the provider: it trusts the tokens that consumers sign."""
    datasets = [
        f'[serve.datasets.{name}]\ntable = "public.{name}"\nkey = "uid"\ntime = "created_at"\n'
        f"read = {json.dumps(COLUMNS)}\n"
        for name in FILES
    ]
    serve = f'[serve]\ndatabase = "{url}"\nport = {port}\n'
    scopes = [f"{name}:read" for name in FILES]
    return serve + "".join(datasets) + _trusted("serve", "snk-consumer", keys.consumer, scopes)


def platform_table(url: str, port: int, keys: Keys, operator: str) -> str:
    """The settings of a node: it signs its calls, and trusts the reports that consumers sign."""
    return (
        f'[batch]\ndatabase = "{url}"\nport = {port}\npoll_seconds = 0.2\nlease_seconds = {LEASE_SECONDS}\n'
        f'[batch.auth]\nkeys = "{keys.platform}"\n'
        f'[[batch.auth.tokens]]\nname = "upstream"\ntoken = "{operator}"\nscopes = ["*"]\n'
        + _trusted("batch", "snk-consumer", keys.consumer, ["runs:report"])
    )


def consumer_table(url: str, name: str, ports: Ports, keys: Keys) -> str:
    """The settings of a consumer: it trusts the calls that the platform signs, and signs what it asks the provider."""
    signed = {
        "for": [f"http://127.0.0.1:{ports.provider}"],
        "jwt_key": str(keys.consumer / "signing.json"),
        "issuer": "snk-consumer",
        "audience": "snk-serve",
        "scope": " ".join(f"{name}:read" for name in FILES),
    }
    provider = "".join(f"{setting} = {json.dumps(value)}\n" for setting, value in signed.items())
    platforms = [f"http://127.0.0.1:{port}" for port in ports.platforms.values()]
    return (
        f'[consumer]\ndatabase = "{url}"\nport = {ports.consumers[name]}\nlease_seconds = {LEASE_SECONDS}\n'
        f'[consumer.auth]\nkeys = "{keys.consumer}"\n'
        + _trusted("consumer", "snk-batch", keys.platform, ["runs:work"])
        + f"[consumer.credentials.provider]\n{provider}"
        + f"[consumer.credentials.platform]\nfor = {json.dumps(platforms)}\n"
    )


def definitions(ports: Ports) -> str:
    """The tasks and groups."""
    return "".join((*_tasks(ports), *_groups()))


def _tasks(ports: Ports) -> Iterator[str]:
    for task, files in TASKS.items():
        consumers = [f"http://127.0.0.1:{port}/v1/tasks/{task}" for port in ports.consumers.values()]
        yield f"[task.{task}]\nconsumers = {json.dumps(consumers)}\ninterval_seconds = {INTERVAL_SECONDS}\n"
        yield "retry_first_ms = 200\nretry_most_ms = 1000\ntimeout_seconds = 5\n"
        for name in files:
            yield f'[task.{task}.files.{name}]\nsource = "http://127.0.0.1:{ports.provider}/v1/{name}"\n'
            yield f"[task.{task}.files.{name}.options]\n" + _options(name)


def _options(name: str) -> str:
    return (
        f'target = "public.{name}"\nkey = "uid"\ncolumns = {json.dumps(COLUMNS)}\n'
        f'from = "{{payload.from}}"\nto = "{{payload.to}}"\npage_rows = {PAGE_ROWS}\n'
    )


def _groups() -> Iterator[str]:
    for name, (mode, tasks) in GROUPS.items():
        yield f'[group.{name}]\nmode = "{mode}"\nmessage = "{MESSAGE}"\ntasks = {json.dumps(tasks)}\n'


def _trusted(service: str, issuer: str, keys: Path, scopes: Iterable[str]) -> str:
    """An issuer of tokens whose public keys are in a folder, and what they may allow."""
    return (
        f'[[{service}.auth.issuers]]\nissuer = "{issuer}"\nalgorithm = "ES256"\n'
        f'jwks = "{keys / "jwks.json"}"\nscopes = {json.dumps(list(scopes))}\n'
    )

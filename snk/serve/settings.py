"""The settings of `snk serve`: the table ``[serve]`` of the file of settings."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from snk.core.names import split_name
from snk.errors import SettingsError
from snk.http.auth.settings import AuthSettings, KeySettings
from snk.settings import PartOfTable, Secret, SettingsTable, read_database, read_table
from snk.urls import check_files, check_postgres_url

DATASET = r"^[a-z][a-z0-9_-]{0,62}$"
END = "$end"
"""The name that the last line of a frame has; no column may have it."""


class DatasetSettings(SettingsTable):
    """One table or view that is served.

    Attributes:
        table: its name, with its schema.
        key: a unique column; it orders the pages.
        time: a column of the type timestamptz, or timestamp; without one there are no frames and no digests.
        time_zone: what a timestamp without time zone means.
        read: the columns that may be read; key and time always belong to them.
        write: the columns that may be written; none if nothing may be written.
    """

    table: str
    key: str
    time: str = ""
    time_zone: str = "UTC"
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()

    @property
    def readable(self) -> tuple[str, ...]:
        """The columns that may be read, in their order, key and time among them."""
        first = (self.key, self.time) if self.time else (self.key,)
        return (*(name for name in first if name not in self.read), *dict.fromkeys(self.read))


class Serve(SettingsTable):
    """The table ``[serve]``.

    Attributes:
        database: PostgreSQL URL.
        connections: how many connections to the database there are at once.
        wait_ms: how long a request waits for one of them.
        page_rows: how many records a page has if the client does not say.
        page_rows_max: the most records that a page may have.
        body_bytes_max: the longest body of a request.
        requests_per_second: of one client; 0 is no limit.
        key_hours: how long an Idempotency-Key is kept.
        clients: how many connections clients may have at once.
        docs: whether /docs and /openapi.json are there; they show names and types of columns to everyone.
    """

    database: Secret
    host: str = "127.0.0.1"
    port: int = Field(8092, ge=0, le=65535)
    connections: int = Field(10, ge=1, le=1000)
    wait_ms: int = Field(1000, ge=0, le=60_000)
    page_rows: int = Field(1000, ge=1)
    page_rows_max: int = Field(10_000, ge=1, le=1_000_000)
    body_bytes_max: int = Field(16 * 2**20, ge=1, le=2**30)
    requests_per_second: float = Field(0.0, ge=0, le=1_000_000)
    key_hours: float = Field(24.0, gt=0, le=24 * 366)
    clients: int = Field(200, ge=1, le=100_000)
    docs: bool = True
    datasets: dict[Annotated[str, Field(pattern=DATASET)], DatasetSettings] = Field(default_factory=dict)
    auth: AuthSettings = AuthSettings()

    @property
    def dsn(self) -> str:
        """The PostgreSQL URL, with its password."""
        return self.database.get_secret_value()


class _OfKeys(PartOfTable):
    """The table ``[serve]``, as far as it is about the service's keys."""

    auth: KeySettings = KeySettings()


def load_settings(given: Path | None = None) -> Serve:
    """Read the settings.

    Args:
        given: the file that is named on the command line.

    Raises:
        SettingsError: names each wrong setting, its value unless it is a secret, and what is right.
    """
    settings = read_table("serve", Serve, given)
    check_postgres_url("serve.database", settings.dsn)
    check_files("serve.database", settings.dsn)
    if settings.page_rows > settings.page_rows_max:
        raise SettingsError(f"serve.page_rows is {settings.page_rows}, above serve.page_rows_max")
    if not settings.datasets:
        hint = "Name at least one table, as [serve.datasets.NAME]"
        raise SettingsError("serve.datasets is empty, so nothing would be served", hint=hint)
    for name, dataset in settings.datasets.items():
        _check(f"serve.datasets.{name}", dataset)
    return settings


def load_dsn(given: Path | None = None) -> str:
    """The URL of the database alone: no other secret is looked up; see `load_settings`."""
    return read_database("serve", given)


def load_keys(given: Path | None = None) -> KeySettings:
    """The settings of the service's own keys, without any others; see `load_settings`."""
    return read_table("serve", _OfKeys, given).auth


def load_scopes(given: Path | None = None) -> list[str]:
    """What clients may be allowed; see `load_settings`."""
    datasets = load_settings(given).datasets
    return [*(f"{name}:{what}" for name in datasets for what in ("read", "write")), "status:read"]


def _check(name: str, dataset: DatasetSettings) -> None:
    try:
        split_name(dataset.table)
    except ValueError as error:
        raise SettingsError(f"{name}.table is {dataset.table!r}: {error}") from None
    if not dataset.key:
        raise SettingsError(f"{name}.key is empty", hint="Name a column that is unique and NOT NULL")
    for each in ("read", "write"):
        columns = getattr(dataset, each)
        if END in columns or "" in columns:
            wrong = END if END in columns else ""
            raise SettingsError(f"{name}.{each} has {wrong!r}, which cannot be the name of a column here")
        if len(set(columns)) < len(columns):
            twice = next(column for column in columns if columns.count(column) > 1)
            raise SettingsError(f"{name}.{each} has {twice!r} twice", hint="Name each column once")

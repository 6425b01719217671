"""The settings of the platform: the table ``[batch]`` of the file of settings."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from snk.batch.channels import Alerts
from snk.batch.scopes import OF_PLATFORM, WORK
from snk.http.auth.credentials import AuthTable
from snk.http.auth.settings import AuthSettings, KeySettings, Plain
from snk.settings import PartOfTable, Secret, SettingsTable, read_database, read_table
from snk.urls import check_files, check_postgres_url

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
DEFAULT = "default"
"""The credentials for consumers of tasks that name none."""


class Keys(KeySettings):
    """The platform's own keys."""

    audience: Plain = "snk-batch"
    issuer: Plain = "snk-batch"
    known_scopes = OF_PLATFORM


class Auth(Keys, AuthSettings):
    """The table ``[batch.auth]``: who may use the platform's API; see `AuthSettings`."""


class _OfKeys(PartOfTable):
    """The table ``[batch]``, as far as it is about the platform's keys."""

    auth: Keys = Keys()


class Batch(SettingsTable):
    """The table ``[batch]``.

    Attributes:
        database: PostgreSQL URL of the platform's tables.
        address: where consumers reach the platform's API; empty for host and port.
        auth: who may use the platform's API.
        credentials: what the platform proves itself by to consumers; the setting ``auth`` of a task names one.
        consumer_audience: the ``aud`` of the tokens that it signs itself for consumers.
        lease_seconds: after which another node takes over the runs of one that does not renew its leases.
        poll_seconds: how often a node looks for runs that are due.
        calls: how many consumers one node calls at once.
        body_bytes_max: the longest body of a request.
        requests_per_second: of one client; 0 is no limit.
        clients: how many connections clients may have at once.
        docs: whether /docs and /openapi.json are there.
        alerts: where alerts are sent.
    """

    database: Secret
    host: str = "127.0.0.1"
    port: int = Field(8094, ge=0, le=65535)
    address: str = ""
    auth: Auth = Auth()
    credentials: dict[Annotated[str, Field(pattern=NAME)], AuthTable] = Field(default_factory=dict)
    consumer_audience: Plain = "snk-consumer"
    lease_seconds: float = Field(6.0, ge=1, le=3600)
    poll_seconds: float = Field(0.5, ge=0.02, le=60)
    calls: int = Field(100, ge=1, le=10_000)
    body_bytes_max: int = Field(2**20, ge=1, le=2**30)
    requests_per_second: float = Field(0.0, ge=0, le=1_000_000)
    clients: int = Field(200, ge=1, le=100_000)
    docs: bool = True
    alerts: Alerts = Alerts()

    @property
    def dsn(self) -> str:
        """The PostgreSQL URL, with its password."""
        return self.database.get_secret_value()

    @property
    def own(self) -> AuthTable:
        """What the platform proves itself by where a task names no credentials and there are no default ones."""
        own = self.auth.signed(self.consumer_audience, "platform", WORK)
        return self.credentials.get(DEFAULT, own)


def load_settings(given: Path | None = None) -> Batch:
    """Read the settings.

    Args:
        given: the file that is named on the command line.

    Raises:
        SettingsError: names each wrong setting, its value unless it is a secret, and what is right.
    """
    settings = read_table("batch", Batch, given)
    check_postgres_url("batch.database", settings.dsn)
    check_files("batch.database", settings.dsn)
    return settings


def load_dsn(given: Path | None = None) -> str:
    """The URL of the platform's database alone: no other secret is looked up; see `load_settings`."""
    return read_database("batch", given)


def load_keys(given: Path | None = None) -> KeySettings:
    """The settings of the platform's own keys, without any others; see `load_settings`."""
    return read_table("batch", _OfKeys, given).auth

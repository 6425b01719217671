"""The settings of the platform: the table ``[batch]`` of the file of settings."""

from pathlib import Path

from pydantic import Field

from snk.http.auth.credentials import AuthTable
from snk.settings import Secret, SettingsTable, read_table
from snk.urls import check_files, check_postgres_url


class Batch(SettingsTable):
    """The table ``[batch]``.

    Attributes:
        database: PostgreSQL URL of the platform's tables.
        address: where consumers reach the platform's API; empty for host and port.
        auth: what the platform sends to consumers in the header ``Authorization``.
        lease_seconds: after which another node takes over the runs of one that does not renew its leases.
        poll_seconds: how often a node looks for runs that are due.
        calls: how many consumers one node calls at once.
    """

    database: Secret
    host: str = "127.0.0.1"
    port: int = Field(8094, ge=0, le=65535)
    address: str = ""
    auth: AuthTable = AuthTable()
    lease_seconds: float = Field(6.0, ge=1, le=3600)
    poll_seconds: float = Field(0.5, ge=0.02, le=60)
    calls: int = Field(100, ge=1, le=10_000)

    @property
    def dsn(self) -> str:
        """The PostgreSQL URL, with its password."""
        return self.database.get_secret_value()


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

"""The settings of a consumer: the table ``[consumer]`` of the file of settings."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from snk.batch.scopes import OF_CONSUMER, REPORT
from snk.errors import SettingsError
from snk.http.auth.credentials import BoundAuthTable
from snk.http.auth.settings import AuthSettings, KeySettings, Plain
from snk.settings import PartOfTable, Secret, SettingsTable, read_database, read_table
from snk.urls import check_files, check_postgres_url

CREDENTIALS = r"^[a-z][a-z0-9_-]{0,62}$"
NAME = "snk-consumer"
PAGE = "batch"
"""Of the documentation."""
PLATFORM, PROVIDER = "platform", "provider"
"""Credentials that are used where a file names none."""


class Keys(KeySettings):
    """The consumer's own keys."""

    audience: Plain = NAME
    issuer: Plain = NAME
    known_scopes = OF_CONSUMER


class Auth(Keys, AuthSettings):
    """Who may call the consumer: the table ``[consumer.auth]``."""


class _OfKeys(PartOfTable):
    """The table ``[consumer]``, as far as it is about the consumer's keys."""

    auth: Keys = Keys()


class Consumer(SettingsTable):
    """The table ``[consumer]``.

    Attributes:
        database: PostgreSQL URL: of the consumer's own tables, and of the tables that records are loaded into.
        connections: to it.
        files_at_once: how many files of one run are loaded side by side.
        page_rows: how many records are asked for at once, unless a file's options say otherwise.
        lease_seconds: after which another consumer may take over the runs of one that died.
        keep_days: how long runs that have ended are known, with what was rejected.
        auth: who may call it.
        credentials: by which providers and the platform know it; each says to which servers it may be sent.
    """

    database: Secret
    host: str = "127.0.0.1"
    port: int = Field(8095, ge=0, le=65535)
    connections: int = Field(10, ge=2, le=1000)
    files_at_once: int = Field(5, ge=1, le=100)
    page_rows: int = Field(5000, ge=1, le=1_000_000)
    lease_seconds: float = Field(15.0, ge=1, le=3600)
    keep_days: float = Field(90.0, gt=0, le=36_600)
    auth: Auth = Auth()
    credentials: dict[Annotated[str, Field(pattern=CREDENTIALS)], BoundAuthTable] = Field(default_factory=dict)

    @property
    def dsn(self) -> str:
        """The PostgreSQL URL, with its password."""
        return self.database.get_secret_value()

    @property
    def for_platform(self) -> BoundAuthTable:
        """What is sent with reports: the credentials ``platform``; otherwise tokens of its own keys, if it has some.

        If these credentials say nothing but where they may be sent, that is so of the tokens.
        """
        given = self.credentials.get(PLATFORM)
        if given and (given.proves or not given.origins):
            return given
        signed = self.auth.signed("snk-batch", NAME, REPORT).model_dump(exclude_unset=True)
        return BoundAuthTable.model_validate({**signed, **({"for": given.origins} if given else {})})

    @property
    def unbound(self) -> list[str]:
        """The credentials that are sent wherever a call says."""
        every = {**self.credentials, PLATFORM: self.for_platform}
        return sorted(name for name, each in every.items() if each.unbound)


def load_settings(given: Path | None = None) -> Consumer:
    """Read the settings.

    Args:
        given: the file that is named on the command line.

    Raises:
        SettingsError: names each wrong setting, its value unless it is a secret, and what is right.
    """
    settings = read_table("consumer", Consumer, given, page=PAGE)
    check_postgres_url("consumer.database", settings.dsn)
    check_files("consumer.database", settings.dsn)
    platform = settings.credentials.get(PLATFORM)
    if platform and platform.origins and not settings.for_platform.proves:
        words = "consumer.credentials.platform has `for`, and there is nothing to send: no bearer, no user, no jwt_key,"
        hint = "Add one of them, or set consumer.auth.keys; if the platform asks for nothing, leave the table out"
        raise SettingsError(f"{words} and no consumer.auth.keys whose tokens it would send", hint=hint)
    return settings


def load_dsn(given: Path | None = None) -> str:
    """The URL of the consumer's database alone: no other secret is looked up; see `load_settings`."""
    return read_database("consumer", given, page=PAGE)


def load_keys(given: Path | None = None) -> KeySettings:
    """The settings of the consumer's own keys, without any others; see `load_settings`."""
    return read_table("consumer", _OfKeys, given, page=PAGE).auth

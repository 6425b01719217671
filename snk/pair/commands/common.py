"""Code that several commands share: loading the settings and building the pair from them."""

from uuid import UUID

from snk.core.words import counted
from snk.db.server import Server
from snk.errors import SettingsError
from snk.pair.settings import Settings, load_settings
from snk.pair.sync.pair import Pair
from snk.urls import check_files


def start() -> Settings:
    """Read the settings and set up the log."""
    from snk.log import configure_log  # noqa: PLC0415 - commands that log nothing start faster without it

    settings = checked_settings()
    configure_log(settings.snk_log_format, settings.snk_log_level)
    return settings


def checked_settings() -> Settings:
    """Return the settings after checking that the files they name exist."""
    settings = load_settings()
    for name, url in (
        ("FIRST_DB_URL", settings.first_dsn),
        ("SECOND_DB_URL", settings.second_dsn),
        ("REDIS_URL", settings.redis_dsn),
    ):
        check_files(name, url)
    return settings


def pair_of(settings: Settings) -> Pair:
    """The two databases and the tables of the settings."""
    return Pair(Server("first", settings.first_dsn), Server("second", settings.second_dsn), settings.tables)


def waiting(table: str, rows: int, settle_seconds: float) -> str:
    """The message that explains why a comparison takes longer."""
    differ = f"{counted(rows, 'row')} {'differs' if rows == 1 else 'differ'}"
    return f"{table}: {differ}; waiting whether both sides become equal within {settle_seconds:g} s"


def uuid_of(text: str) -> str:
    """A uuid as PostgreSQL writes it.

    Raises:
        SettingsError: it is none.
    """
    try:
        return str(UUID(text))
    except ValueError:
        raise SettingsError(
            f"{text!r} is not a uuid", hint="Write it as 00000000-0000-0000-0000-000000000000"
        ) from None

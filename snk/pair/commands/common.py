"""What several commands need: the settings as values."""

from snk.db.server import Server
from snk.pair.settings import Settings, load_settings
from snk.pair.sync.pair import Pair
from snk.urls import check_files


def start() -> Settings:
    """Read the settings and set up the log."""
    from snk.log import configure_log  # noqa: PLC0415 - who logs nothing starts sooner without it

    settings = checked_settings()
    configure_log(settings.snk_log_format, settings.snk_log_level)
    return settings


def checked_settings() -> Settings:
    """The settings, and that the files which they name are there."""
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
    """Why a comparison takes a while."""
    return f"{table}: {rows:,} rows differ; waiting whether they become equal within {settle_seconds:g} s"

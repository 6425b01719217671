"""What several commands need: the settings as values."""

from snk.db.engine import Server
from snk.log import configure_log
from snk.settings import Settings, load_settings
from snk.sync.pair import Pair
from snk.urls import check_files


def start() -> Settings:
    """Read the settings and set up the log."""
    settings = load_settings()
    for name, url in (
        ("FIRST_DB_URL", settings.first_dsn),
        ("SECOND_DB_URL", settings.second_dsn),
        ("REDIS_URL", settings.redis_dsn),
    ):
        check_files(name, url)
    configure_log(settings.snk_log_format, settings.snk_log_level)
    return settings


def pair_of(settings: Settings) -> Pair:
    """The two databases and the tables of the settings."""
    return Pair(Server("first", settings.first_dsn), Server("second", settings.second_dsn), settings.tables)

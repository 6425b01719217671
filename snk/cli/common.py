"""What several commands need: the settings as values."""

from snk.db.engine import Server
from snk.log import configure_log
from snk.settings import Settings, load_settings
from snk.sync.daemon import Pair


def start() -> Settings:
    """Read the settings and set up the log."""
    settings = load_settings()
    configure_log(settings.snk_log_format, settings.snk_log_level)
    return settings


def pair_of(settings: Settings) -> Pair:
    """The two databases and the tables of the settings."""
    return Pair(Server("first", settings.first_dsn), Server("second", settings.second_dsn), settings.tables)

"""Reading the settings again while the daemon runs, on SIGHUP: the tables change, all else needs a restart."""

import structlog

from snk.errors import SettingsError
from snk.pair.commands.common import checked_settings
from snk.pair.settings import Settings
from snk.pair.sync.daemon import Daemon

log = structlog.get_logger()


def read_again(started_with: Settings, daemon: Daemon) -> None:
    """Read the settings, and have the daemon sync the tables that they select; settings with a fault change nothing.

    The environment of a process does not change, so what counts is the file.
    """
    try:
        settings = checked_settings()
    except (SettingsError, OSError, UnicodeError) as error:
        log.error("settings_refused", error=str(error))  # noqa: TRY400 - the message says all
        return
    log.info("settings_read", tables=settings.snk_tables)
    names = [name for name in Settings.model_fields if name != "snk_tables"]
    if changed := [name.upper() for name in names if getattr(settings, name) != getattr(started_with, name)]:
        log.warning("restart_needed", settings=changed)
    daemon.select(settings.selection)

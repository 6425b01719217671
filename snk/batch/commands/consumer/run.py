"""``snk batch consumer``: the service."""

import structlog

from snk.batch.consumer.service import Service
from snk.batch.consumer.settings import PLATFORM, Consumer, load_settings
from snk.errors import SettingsError
from snk.http.auth.credentials import Credentials
from snk.http.commands.keys import folder_of
from snk.http.commands.run import run_service
from snk.http.service import Address
from snk.log import configure_log
from snk.options import Config, LogFormat
from snk.signals import hear_ctrl_c

log = structlog.get_logger()


def run(
    *,
    log_format: LogFormat = "console",
    config: Config = None,
) -> None:
    """Load and reconcile files when the platform calls, until stopped. `snk batch consumer` alone means the same."""
    hear_ctrl_c()
    settings = load_settings(config)
    configure_log(log_format, "info")
    _check_keys(settings)
    for name in settings.unbound:
        effect = "they are sent to any server that a call names"
        log.warning("credentials_unbound", setting=f"consumer.credentials.{name}.for", effect=effect)
    hint = "Name the platform in [consumer.auth], such as [[consumer.auth.issuers]]"
    address = Address(settings.host, settings.port, "consumer.host", "consumer.port", guard_hint=hint)
    run_service(address, lambda bound, stop: Service(settings).run(bound, stop), guarded=settings.auth.closed)


def _check_keys(settings: Consumer) -> None:
    """See that every key can be read: later, that would be seen at the first report or page only.

    Raises:
        SettingsError: one cannot.
    """
    if settings.auth.keys:
        folder_of("consumer", settings.auth, "snk batch consumer").signing()
    for name, table in {**settings.credentials, PLATFORM: settings.for_platform}.items():
        try:
            Credentials(table).header()
        except SettingsError as error:
            raise SettingsError(f"consumer.credentials.{name}: {error}") from None

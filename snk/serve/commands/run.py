"""``snk serve``: the service."""

from snk.http.commands.run import run_service
from snk.http.service import Address
from snk.log import configure_log
from snk.options import Config, LogFormat
from snk.serve.service import Service
from snk.serve.settings import load_settings
from snk.signals import hear_ctrl_c


def run(
    *,
    log_format: LogFormat = "console",
    config: Config = None,
) -> None:
    """Serve tables over HTTP until stopped. `snk serve` alone means the same."""
    hear_ctrl_c()
    settings = load_settings(config)
    configure_log(log_format, "info")
    hint = "Name clients in [serve.auth], such as [[serve.auth.tokens]]"
    address = Address(settings.host, settings.port, "serve.host", "serve.port", guard_hint=hint)
    run_service(address, lambda bound, stop: Service(settings).run(bound, stop), guarded=settings.auth.closed)

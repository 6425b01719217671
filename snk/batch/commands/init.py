"""``snk batch init``: create the platform's tables, or bring them up to date."""

from snk.batch.commands.common import PrintOnly, make_tables
from snk.batch.platform.tables import TABLES
from snk.batch.settings import load_dsn
from snk.options import Config


def init(*, print_only: PrintOnly = False, config: Config = None) -> None:
    """Create the schema snk_batch, or bring its tables up to date. Repeat it as you like."""
    make_tables(TABLES, lambda: load_dsn(config), print_only=print_only)

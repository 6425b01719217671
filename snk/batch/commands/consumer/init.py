"""``snk batch consumer init``: create the consumer's tables, or bring them up to date."""

from snk.batch.commands.common import PrintOnly, make_tables
from snk.batch.consumer.settings import load_dsn
from snk.batch.consumer.tables import TABLES
from snk.options import Config


def init(*, print_only: PrintOnly = False, config: Config = None) -> None:
    """Create the schema snk_batch_consumer, or bring its tables up to date. Repeat it as you like."""
    make_tables(TABLES, lambda: load_dsn(config), print_only=print_only)

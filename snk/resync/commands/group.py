"""The group ``snk resync``: its commands, and what ``snk resync PROJECT`` means."""

import typer
from typer.core import TyperGroup

from snk.resync.commands.apply import apply
from snk.resync.commands.check import check
from snk.resync.commands.demo import demo, init_demo
from snk.resync.commands.doctor import doctor
from snk.resync.commands.history import history
from snk.resync.commands.init import init
from snk.resync.commands.plan import plan
from snk.resync.commands.sync import sync
from snk.resync.commands.watch import watch

DEFAULT = "sync"


class _Group(TyperGroup):
    """A group in which a project may stand where a command is expected."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put the default command before a project or its options."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [DEFAULT, *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(
    cls=_Group,
    help="Check counters in Redis against rows in a database; explain and repair what differs, by adding only.",
    epilog="`snk resync PROJECT` checks a project, asks, synchronises, and checks again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for command in (sync, check, plan, apply, watch, history, doctor, init, demo):
    app.command()(command)
app.command("init-demo")(init_demo)

"""The doctor's findings about a server, and about SNK's schema in it."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from snk.core.finding import Finding
from snk.db.catalog import ServerFacts
from snk.db.server import Server
from snk.errors import DatabaseUnfit
from snk.pair.doctor.looked import fatal
from snk.pair.schema.own import SCHEMA
from snk.pair.table.fitness import missing
from snk.pair.table.rejects import outstanding

CLOCK_SECONDS = 1.0


async def of_server(server: Server, facts: ServerFacts, faults: Sequence[DatabaseUnfit]) -> AsyncIterator[Finding]:
    """The faults that `snk.pair.table.fitness.look_over` found, and findings that do not prevent SNK from running."""
    what = f"PostgreSQL {facts.version} answers at {server.address}; its encoding is {facts.encoding}"
    yield Finding("ok", server.label, what)
    for fault in faults:
        yield fatal(server.label, fault)
    if facts.read_only and not facts.standby:
        advice = "SNK waits and continues by itself when writes are allowed: default_transaction_read_only is on"
        yield Finding("error", server.label, "it is in read-only mode", advice)
    off = abs((datetime.now(UTC) - facts.clock).total_seconds())
    if off > CLOCK_SECONDS:
        advice = "SNK does not rely on clocks, but people who read its times do"
        yield Finding("warning", server.label, f"its clock and this machine's are {off:.1f} s apart", advice)
    if faults:
        return
    async with server.connect() as connection:
        lacking = await missing(connection)
        rejected, conflicts = await outstanding(connection)
    if lacking:
        advice = "Run `snk init`: without the function, SNK polls idle tables"
        yield Finding("warning", server.label, f"{', '.join(lacking)} missing", advice)
    else:
        yield Finding("ok", server.label, f"SNK's schema {SCHEMA} is there")
    if rejected:
        advice = "`snk rejected` shows the reasons; `snk retry` retries at once"
        yield Finding("warning", server.label, f"refused rows that are set aside: {rejected:,}", advice)
    if conflicts:
        advice = "Make the rows equal on both sides, then delete the conflict from snk.conflicts"
        yield Finding("warning", server.label, f"unresolved conflicts: {conflicts:,}", advice)

"""What may be wrong in definitions: the consumer's database decides, which the platform does not know."""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.definition import Definitions, types_in
from snk.db.errors import sqlstate
from snk.db.relation import NOT_A_TYPE, types_of


async def doubts_of(connection: AsyncConnection, definitions: Definitions) -> list[str]:
    """Types of rules that the platform's PostgreSQL does not know; that of a consumer may have types of its own.

    Args:
        connection: with a transaction.
        definitions: those of a file.
    """
    written = list(types_in(definitions))
    strange = {text for text in {text for _, text in written} if not await _known(connection, text)}
    return [
        f"{place} is {text!r}, which this PostgreSQL has not; the consumer's needs a type of that name"
        for place, text in written
        if text in strange
    ]


async def _known(connection: AsyncConnection, text: str) -> bool:
    try:
        async with connection.begin_nested():
            return bool(await types_of(connection, [text]))
    except DBAPIError as error:
        if error.connection_invalidated or sqlstate(error) not in NOT_A_TYPE:
            raise
        return False

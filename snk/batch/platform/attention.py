"""Alerts as people see to them: lists of them, and who looks after one."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.moves import Unknown, note
from snk.batch.platform.rows import Row, as_json
from snk.batch.platform.tables import ALERT, IS_OPEN, NOTICE, NOW
from snk.batch.state import Refused


async def listed(connection: AsyncConnection, *, resolved: bool = False, most: int = 100) -> list[Row]:
    """Alerts, newest first, each with its notices: what was sent where, or what keeps it from being sent.

    Args:
        connection: one that sees one moment.
        resolved: whether those that are resolved are listed, too.
        most: how many.
    """
    wanted = sa.select(ALERT).order_by(ALERT.c.id.desc()).limit(most)
    rows = (await connection.execute(wanted if resolved else wanted.where(IS_OPEN))).mappings()
    alerts = {row["id"]: as_json(row) | {"notices": []} for row in rows}
    notices = sa.select(NOTICE).where(NOTICE.c.alert.in_(alerts)).order_by(NOTICE.c.id)
    for row in (await connection.execute(notices)).mappings():
        alerts[row["alert"]]["notices"].append(as_json(row))
    return list(alerts.values())


async def acknowledge(connection: AsyncConnection, alert: int, who: str, remark: str) -> None:
    """Note that a person looks after an alert; it stays open until its cause is gone. To be called in a transaction.

    Raises:
        Unknown: there is no such alert.
        Refused: it is resolved.
    """
    mine = sa.update(ALERT).where(ALERT.c.id == alert, IS_OPEN)
    done = await connection.execute(mine.values(acknowledged_by=who, acknowledged_at=NOW, note=remark))
    if not done.rowcount:
        if (await connection.execute(sa.select(ALERT.c.id).where(ALERT.c.id == alert))).first():
            raise Refused(f"alert {alert} is resolved; there is nothing to look after")
        raise Unknown(f"there is no alert {alert}", hint="`snk batch alerts list` lists those that are open")
    await note(connection, who, "acknowledged", f"alert {alert}", remark)

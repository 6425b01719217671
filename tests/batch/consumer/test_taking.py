"""What calls do to runs: those that are run again, those that are given up, and the reports that wait meanwhile."""

from collections.abc import Callable

from snk.batch.consumer.outbox import Outbox
from snk.http.auth.credentials import AuthTable, Credentials
from tests.kit.consumer import Callbacks
from tests.kit.working import Room

MakeRoom = Callable[..., Room]


async def test_an_answer_to_an_older_report_takes_no_newer_one_out_of_the_outbox(
    room: Room, callbacks: Callbacks
) -> None:
    outbox = Outbox(room.pool, Credentials(AuthTable()))
    await room.call({}, callback=callbacks.url)
    (older,) = await outbox._claim()
    await room.call({}, callback=callbacks.url, fence=2, since=2)
    await outbox._send(older)
    assert outbox.sent == 1
    assert await room.database.value("select report ->> 'fence' from snk_batch_consumer.outbox") == "2"
    (newer,) = await outbox._claim()
    await outbox._send(newer)
    assert await room.database.rows("select 1 from snk_batch_consumer.outbox") == []
    await outbox._clients.close()

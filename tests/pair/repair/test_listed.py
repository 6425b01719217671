"""Lists for a page: the newest first, cut by the server, with how much more there is."""

from typing import Any

from snk.db.server import Server
from snk.pair.repair.listed import SHORT, About, Bounds, conflicts, rejected, settled
from tests.kit.databases import Database
from tests.pair.conftest import Running

RECORD = """insert into snk.conflicts (table_name, uuid, source_row, destination_row, noticed_at)
 select '{}', ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
 jsonb_build_object('data', 'theirs' || n, 'note', null, 'same', repeat('x', 300)),
 jsonb_build_object('data', 'ours' || n, 'note', '', 'same', repeat('x', 300)), now() + n * interval '1 s'
 from generate_series({}, {}) n"""


def servers(pair: Any) -> tuple[Server, Server]:
    return Server("first", pair.first), Server("second", pair.second)


async def test_conflicts_are_listed_with_both_rows_and_how_many_more_there_are(
    pair: Any, running: Running, first: Database, second: Database
) -> None:
    async with running():
        pass
    await second.run(RECORD.format("public.records", 1, 25))
    await first.run(RECORD.format("public.records", 25, 25), RECORD.format("others", 99, 99))
    found = await conflicts(*servers(pair), About())
    assert (len(found.rows), found.more) == (SHORT.rows, 6)
    assert [found.rows[0].table, found.rows[1].table] == ["others", "public.records"]
    assert (await conflicts(*servers(pair), About("records"))).more == 5, "one that both sides recorded is known"
    (only,) = (await conflicts(*servers(pair), About("records", "00000000-0000-4000-8000-000000000007"))).rows
    assert [cell.column for cell in only.differing] == ["data", "note"]
    data, note = only.differing
    assert (data.first.text, data.second.text) == ("theirs7", "ours7"), "second recorded it: its row is ours"
    assert (note.first.text, note.second.text) == (None, "")
    assert (only.equal[0].first.text, only.equal[0].first.more) == ("x" * SHORT.chars, 300 - SHORT.chars)
    assert only.cut
    (narrow,) = (await conflicts(*servers(pair), About("others"), Bounds(columns=1))).rows
    assert ([cell.column for cell in narrow.cells], narrow.columns, narrow.cut) == (["data"], 3, True)
    assert narrow.cells[0].first.text == "ours99", "first recorded it"


async def test_rejected_rows_are_listed_with_the_beginning_of_the_reason(
    pair: Any, running: Running, second: Database
) -> None:
    async with running():
        pass
    await second.run(
        "insert into snk.rejected (table_name, uuid, sqlstate, error)"
        " select 'public.records', gen_random_uuid(), '23514', repeat('e', 1000) from generate_series(1, 5)"
    )
    found = await rejected(servers(pair)[1], About("records"), 3)
    assert ([len(row.error) for row in found.rows], found.more) == ([2 * SHORT.chars] * 3, 2)
    assert (await rejected(servers(pair)[1], About("others"), 3)).rows == []
    assert await settled(*servers(pair), 10) == []

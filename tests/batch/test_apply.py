"""``snk batch apply``: what is done is what was shown, and nothing that is under way loses its task."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from snk.batch.changes import Change
from snk.batch.commands import apply as command
from snk.batch.platform import defining
from snk.batch.platform.tables import TASK
from snk.batch.platform.triggering import Trigger, trigger
from snk.db.pool import Pool
from snk.errors import SettingsError
from tests.batch.conftest import define
from tests.batch.test_newer import select
from tests.kit.batch import World
from tests.kit.databases import until

ONE = '[task.one]\nconsumers = ["http://127.0.0.1:9/"]\n'


@pytest.mark.long
@pytest.mark.parametrize("yes", [True, False])
def test_what_was_added_while_somebody_is_asked_is_shown_before_it_is_removed(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    yes: bool,
) -> None:
    world.define(ONE + "[task.old]\nconsumers = ['http://127.0.0.1:9/']\n")
    file = world.folder / "wanted.toml"
    file.write_text(ONE)
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        if len(asked) == 1:
            world.define("[task.new]\nconsumers = ['http://127.0.0.1:9/']\n")
        return "y"

    monkeypatch.setattr(command, "answer", answer)
    command.apply(file, yes=yes, prune=True, config=Path(world.config))
    shown = capsys.readouterr().out
    assert len(asked) == (0 if yes else 2)
    assert ("- task new" in shown) is not yes
    assert f"{1 if yes else 2} change" in shown
    assert set(names(world)) == {"one"}


TYPED = (
    ONE
    + """[task.one.files.trades.options]
target = "public.trades"
key = "uid"
columns = { uid = "numerik", price = "numeric(8, 2)", note = "a b", one = "regclass" }
"""
)


def test_nobody_there_and_no_are_told_and_change_nothing(world: World) -> None:
    file = world.folder / "wanted.toml"
    file.write_text(ONE)
    for given, told in (("", "not changed: nobody answered; --yes answers"), ("No\n", "nothing was changed")):
        done = world.snk("apply", str(file), given=given)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (1, told)
    assert names(world) == []


def test_d_shows_each_definition_before_and_after(world: World) -> None:
    world.define(ONE + "interval_seconds = 5\n[task.old]\nconsumers = ['http://127.0.0.1:9/']\n")
    file = world.folder / "wanted.toml"
    file.write_text(ONE + "interval_seconds = 7\n")
    done = world.snk("apply", str(file), "--prune", given="d\nyes\n")
    assert done.returncode == 0, done.stdout
    shown = done.stdout.partition("[Y/N/D]: d\n")[2].partition("Change this?")[0]
    one = '    consumers = [\n        "http://127.0.0.1:9/",\n    ]\n'
    assert shown == (
        f"- task old\n  before:\n{one}"
        f"* task one\n  before:\n{one}    interval_seconds = 5.0\n  after:\n{one}    interval_seconds = 7.0\n"
    )


def test_a_type_that_the_consumers_database_may_lack_is_told_and_not_refused(world: World) -> None:
    file = world.folder / "wanted.toml"
    file.write_text(TYPED)
    done = world.snk("apply", str(file), "--yes")
    place = "snk: task.one.files.trades.options.columns"
    words = "which this PostgreSQL has not; the consumer's needs a type of that name"
    assert done.stderr.splitlines() == [
        f"{place}.uid.type is 'numerik', {words}",
        f"{place}.note.type is 'a b', {words}",
    ]
    assert (done.returncode, names(world)[0]) == (0, "one")


def names(world: World) -> list[str]:
    """Of the tasks that there are."""
    listed = world.snk("export").stdout
    return [line.removeprefix("[task.").removesuffix("]") for line in listed.splitlines() if line.startswith("[task.")]


async def test_a_task_that_is_triggered_at_the_same_moment_is_not_removed(pool: Pool) -> None:
    await define(pool, prices={})
    given = Trigger("prices", "1", "test", "me", {})

    async def remove() -> None:
        async with pool.begin() as connection:
            await defining.apply(connection, [Change("task", "prices", {"consumers": ["http://a/"]}, None)], "me")

    async def waits() -> bool:
        query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        async with pool.connection("statement") as connection:
            return bool((await connection.exec_driver_sql(query)).scalar_one())

    async with pool.begin() as connection:
        assert (await trigger(connection, given)).outcome == "run"
        removing = asyncio.create_task(remove())
        await until(waits, "the removal to wait for the trigger")
    with pytest.raises(SettingsError, match="'prices' cannot be removed: its run 1 is under way"):
        await removing
    assert await select(pool, TASK.c.name) == [("prices",)]
    async with pool.connection("statement") as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(TASK))).scalar_one() == 1

"""What a person does about a pair in a browser: settles conflicts, retries rejected rows, has both sides compared."""

from typing import Any

import pytest
from playwright.async_api import Browser

from snk.http.door import Door
from snk.pair.sync.schedule import SweepSchedule
from tests.kit.browser import Visit, visiting
from tests.kit.databases import Database, insert, until, until_equal
from tests.kit.looks import fits
from tests.pair.conftest import Running, until_healthy
from tests.pair.portal.conftest import served

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&"
UUID = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
ROW = "insert into records (uuid, data) values ('{}', '{}')"
OFF = SweepSchedule(every_seconds=0, share=1.0, settle_seconds=0.3)
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


async def in_conflict(first: Database, second: Database) -> None:
    """One uuid with two rows, before a daemon starts."""
    for side, word in ((first, "one"), (second, "two")):
        await side.run(
            "create table records (id bigserial primary key, uuid uuid not null unique, data text, note text)"
        )
        await side.run(ROW.format(UUID, (f"{word} {HOSTILE} " + word * 200).replace("'", "''")))


async def conflicts(*sides: Database) -> int:
    return sum([await side.value("select count(*) from snk.conflicts") for side in sides])


async def until_conflict(first: Database, second: Database) -> None:
    async def recorded() -> bool:
        return bool(await conflicts(first, second))

    await until(recorded, "the conflict to be recorded")


async def press(visit: Visit, name: str) -> None:
    """Press a button of a form."""
    await visit.page.get_by_role("button", name=name).click()


async def follow(visit: Visit, name: str) -> None:
    """Follow a link."""
    await visit.page.get_by_role("link", name=name).first.click()


async def test_a_conflict_is_settled_as_was_shown_and_that_is_taken_back(
    running: Running, first: Database, second: Database, browser: Browser
) -> None:
    await in_conflict(first, second)
    ours, theirs = [await side.value("select data from records") for side in (first, second)]
    async with running() as daemon, served(daemon) as url, visiting(browser, url) as visit:
        await until_conflict(first, second)
        await visit.go("/")
        await visit.page.locator("#part-flows a[href='/conflicts']").click()
        await visit.until_shown("≠ data")
        await visit.until_shown("more characters")
        assert "owned" not in await visit.page.title()
        await follow(visit, "Show the whole rows")
        assert "more characters" not in await visit.text()
        await follow(visit, "Keep the row of first")
        await visit.until_shown("1 value of the row in second will be replaced")
        assert await second.value("select data from records") == theirs, "a look changes nothing"

        await second.run("update records set note = 'since'")
        await press(visit, "Replace on second")
        await visit.until_shown("no longer what was shown")
        assert await second.value("select data from records") == theirs

        await follow(visit, "Keep the row of first")
        await visit.until_shown("2 values of the row in second")
        await press(visit, "Replace on second")
        await visit.until_shown("Replaced on second: data, note.")
        await visit.until_shown("There are no conflicts")
        for side in (first, second):
            assert await side.rows("select data, note from records") == [(ours, None)]
        assert await conflicts(first, second) == 0

        await follow(visit, "Take back")
        await visit.until_shown("2 values of the row in second will be replaced by what was there before")
        await press(visit, "Take it back")
        await visit.until_shown("Taken back on second: data, note.")
        assert await second.rows("select data, note from records") == [(theirs, "since")]
        assert await conflicts(first, second) == 1

        await second.run(
            "update records set note = null", f"update records set data = '{ours.replace(chr(39), chr(39) * 2)}'"
        )
        await follow(visit, "Keep the row of second")
        await visit.until_shown("Both rows are equal by now")
        assert await conflicts(first, second) == 1, "a look changes nothing"
        await press(visit, "Delete the record")
        await visit.until_shown("the record of the conflict was deleted")
        assert await conflicts(first, second) == 0


async def test_rejected_rows_are_tried_again_one_or_all(
    running: Running, first: Database, second: Database, browser: Browser
) -> None:
    async with running() as daemon, served(daemon) as url, visiting(browser, url) as visit:
        await second.run("alter table records add constraint \"<b>good</b>\" check (data <> 'bad')")
        await first.run(ROW.format(UUID, "bad"), ROW.format(OTHER, "bad"))

        async def later() -> bool:
            await second.run("update snk.rejected set next_at = now() + interval '1 day'")
            return bool(await second.value("select count(*) = 2 from snk.rejected where next_at > now() + '1 hour'"))

        await until(later, "both rows to be set aside")
        await visit.go("/rejected")
        await visit.until_shown("Set aside in second")
        await visit.until_shown("23514")
        await visit.until_shown('"<b>good</b>"')
        await second.run('alter table records drop constraint "<b>good</b>"')
        await follow(visit, f"Retry {UUID}")
        await visit.until_shown("It was refused")
        await press(visit, "Retry it now")
        await visit.until_shown("1 row is tried again now")
        await until_equal_but_for(first, second, 1)
        await visit.page.locator(f"text={UUID}").wait_for(state="detached")  # without a reload
        await follow(visit, "Retry all rows")
        await visit.until_shown("1 row now (0 in first, 1 in second)")
        await press(visit, "Retry 1 row now")
        await until_equal(first, second, 2)
        await visit.until_shown("No row is set aside")
        await visit.go(f"/rejected/retry?table=records&uuid={UUID}")
        await visit.until_shown("This row is not set aside any more")


async def until_equal_but_for(first: Database, second: Database, missing: int) -> None:
    async def so_many() -> bool:
        counts = [await side.value("select count(*) from records") for side in (first, second)]
        return bool(counts[0] - counts[1] == missing)

    await until(so_many, f"{missing} rows to be missing")


async def test_both_sides_are_compared_when_somebody_asks_and_what_was_found_is_told(
    running: Running, first: Database, second: Database, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snk.pair.sync.sweeper.AGAIN_SECONDS", 0.1)
    for side in (first, second):
        await side.run("create table others (id bigserial primary key, uuid uuid not null unique, data text)")
    async with running("records", "others", sweeps=OFF) as daemon, served(daemon) as url:
        await insert(first, 4)
        await first.run(ROW.format(UUID, "one"))
        await until_equal(first, second, 5)
        await until_healthy(daemon)
        await second.run(f"delete from records where uuid = '{UUID}'", "update records set data = 'x' where id = 1")
        async with visiting(browser, url) as visit:
            await visit.go("/proof")
            await visit.until_shown("not yet")
            await follow(visit, "Verify all tables now")
            await visit.until_shown("Both sides of 2 tables are compared")
            assert daemon.status().sweeps[0].asked is None, "a look asks for nothing"
            await press(visit, "Verify now")
            await visit.until_shown("2 of 2", "#part-asked")
            await visit.until_shown("1 row was missing on one side and is brought over", "#part-asked")
            await visit.until_shown("1 row differs and becomes a conflict", "#part-asked")
            assert await second.value("select count(*) from records") == 5
            await visit.go("/tables/others")
            await follow(visit, "Verify now")
            await press(visit, "Verify now")
            await visit.until_shown("1 of 1", "#part-asked")
            await visit.until_shown("Both sides are equal", "#part-asked")


async def test_a_table_of_any_name_is_worked_on(
    running: Running, first: Database, second: Database, browser: Browser
) -> None:
    name = '"A.b <i>&amp; ""c"'
    for side, word in ((first, "one"), (second, "two")):
        await side.run(f"create table {name} (id bigserial primary key, uuid uuid not null unique, data text)")
        await side.run(f"insert into {name} (uuid, data) values ('{UUID}', '{word}')")
    async with running(select="*", sweeps=OFF) as daemon, served(daemon) as url, visiting(browser, url) as visit:
        await until_conflict(first, second)
        await visit.go("/tables")
        await visit.page.locator("a[href^='/conflicts?table']").click()
        await follow(visit, "Keep the row of second")
        await press(visit, "Replace on first")
        await visit.until_shown("Replaced on first: data")
        assert await first.value(f"select data from {name}") == "two"
        await visit.go("/proof")
        await follow(visit, "Verify public")
        await press(visit, "Verify now")
        await visit.until_shown("1 of 1", "#part-asked")
        await visit.page.locator("#part-proofs td a").first.click()
        await visit.until_shown("Proof of equality")


async def test_whoever_may_only_look_is_offered_nothing_else(
    running: Running, first: Database, second: Database, browser: Browser
) -> None:
    await in_conflict(first, second)
    door = Door("operator-token-0123", view_token="viewer-token-012345")
    async with running() as daemon, served(daemon, door) as url, visiting(browser, url) as visit:
        await until_conflict(first, second)
        await visit.go("/conflicts")
        await visit.page.get_by_label("Token").fill("viewer-token-012345")
        await press(visit, "Sign in")
        for path in (f"/conflicts/resolve?table=records&uuid={UUID}&keep=first", "/proof/verify"):
            await visit.go(path)
            await visit.until_shown("Only an operator may do this")
            assert await visit.page.locator("main button").count() == 0


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
async def test_the_pages_for_work_are_for_everybody(
    running: Running, first: Database, second: Database, browser: Browser, look: str
) -> None:
    await in_conflict(first, second)
    async with running(sweeps=OFF) as daemon, served(daemon) as url:
        await second.run("alter table records add constraint good check (data <> 'bad')")
        await first.run(ROW.format(OTHER, "bad"))
        await until_conflict(first, second)

        async def rejected() -> Any:
            return await second.value("select count(*) from snk.rejected")

        await until(rejected, "the row to be set aside")
        daemon.compare()
        one = f"table=records&uuid={UUID}"
        paths = ["/conflicts", f"/conflicts/row?{one}", f"/conflicts/resolve?{one}&keep=second", "/proof/verify"]
        paths += [
            "/rejected",
            f"/rejected/retry?table=records&uuid={OTHER}",
            "/rejected/retry",
            "/proof",
            "/tables/records",
        ]
        async with visiting(browser, url, dark=look == "dark", phone=look == "phone") as visit:
            await fits(visit, paths)

"""Files of definitions: what is wrong in them is told, and what they say is what the tables hold."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from snk.batch.calendar import Calendar
from snk.batch.changes import Stored, changes
from snk.batch.consumer.failing import FileFailed
from snk.batch.consumer.options import options_of, span_of
from snk.batch.definition import checked, read_definitions
from snk.batch.platform import defining
from snk.db.pool import Pool
from snk.errors import SettingsError
from tests.batch.conftest import define

TASK = '[task.prices]\nconsumers = ["http://one:1/a"]\n'
WHOLE = (
    TASK
    + 'message = "ready"\ncron = "0 2 * * 1-5"\nzone = "Europe/Berlin"\n'
    + '[task.prices.files.trades]\nsource = "http://p/v1/trades"\n'
    + 'options = { target = "t", key = "id", columns = { id = "int" } }\n'
    + '[task.prices.files.other]\nexecutor = "ours"\noptions = { keys = 1 }\n'
    + '[group.nightly]\nmode = "ASYNC"\ntasks = ["prices"]\n'
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "describes no task"),
        ("[task.Prices]\n", "task.Prices"),
        ("[task.prices]\n", "task.prices.consumers is missing"),
        ("[task.prices]\nconsumers = []\n", "task.prices.consumers is []"),
        ('[task.prices]\nconsumers = ["ftp://one"]\n', "'ftp://one' is no address of a service"),
        ('[task.prices]\nconsumers = ["http://u:geheim@one"]\n', "holds no user or password"),
        ('[task.prices]\nconsumers = ["http://a", "http://a"]\n', "twice"),
        (TASK + "intervall_seconds = 1\n", "the nearest one is task.prices.interval_seconds"),
        (TASK + "interval_seconds = 0\n", "task.prices.interval_seconds is 0"),
        (TASK + 'cron = "0 25 * * *"\n', "task.prices.cron is '0 25 * * *': it is no cron line: Bad hour"),
        (TASK + 'cron = "0 2 * * *"\nzone = "Europe/Berlim"\n', "task.prices.zone is 'Europe/Berlim': it is no time"),
        (TASK + '[group.prices]\ntasks = ["prices"]\n', "'prices' is a task and a group"),
        (TASK + '[group.g]\ntasks = ["prises"]\n', "group.g.tasks names 'prises', and there is no [task.prises]"),
        (TASK + '[group.g]\ntasks = ["prices", "prices"]\n', "a task stands twice"),
        ("task = 1\n", "task is 1"),
        ("[task\n", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        checked(read_definitions(file))
    assert words in str(raised.value)
    assert "geheim" not in str(raised.value)


FITTING = {"target": "t", "key": "id", "columns": {"id": "int"}}
"""Options of a file; each test changes some."""


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"target": None}, "options.target is missing"),
        ({"key": None, "keys": "id"}, "there is no options.keys; there are target, key, columns, from, to, hours"),
        ({"key": "other"}, "options: key has 'other', which is not in columns"),
        ({"columns": {"id": {"oneof": [1]}}}, "there is no options.columns.id.oneof; there are type, required"),
        ({"from": "2026-11-25T00:00Z", "hours": "24x"}, "options.hours is '24x': Input should be a valid number"),
        ({"from": "2026-11-25T00:00Z"}, "give from with either to or hours"),
        ({"from": "2026-11-25", "hours": 24}, "options.from is '2026-11-25', without an offset"),
        ({"from": "{payload.a}", "to": "tomorrow"}, "options.to is 'tomorrow'. Write a time such as"),
        ({"from": "{day}T00:00Z", "hours": 24}, "options.from is '{day}T00:00Z'. Write a time such as"),
        ({"from": "2026-11-25T00:00Z", "to": "2026-11-24T00:00Z"}, "before options.from"),
        ({"from": "9999-12-31T00:00Z", "hours": 48}, "which leads beyond the year 9999"),
        ({"from": "0001-01-01T00:00+14:00", "hours": 48}, "options.from is '0001-01-01T00:00+14:00'"),
    ],
)
def test_options_are_refused_before_they_are_stored_in_the_words_of_the_consumer(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    options = {name: value for name, value in {**FITTING, **changed}.items() if value is not None}
    with pytest.raises(FileFailed) as at_night:
        span_of(options_of(options), {"a": "2026-11-25T00:00Z"})
    assert words in str(at_night.value)
    file = tmp_path / "tasks.toml"
    task = {"consumers": ["http://one:1/a"], "files": {"trades": {"options": options}}}
    file.write_text(tomli_w.dumps({"task": {"prices": task}}))
    with pytest.raises(SettingsError) as by_day:
        read_definitions(file)
    assert str(by_day.value) == f"{file}: task.prices.files.trades: {at_night.value}"


def test_a_file_without_options_is_told_how_to_be_one_of_another_executor(tmp_path: Path) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text(TASK + "[task.prices.files.trades]\n")
    with pytest.raises(SettingsError, match=r"options\.target is missing.*names another executor"):
        read_definitions(file)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({}, "which the payload does not have. Trigger"),
        ({"day": None}, "which is null"),
        ({"day": [1]}, r"which is \[1\]"),
    ],
)
def test_what_a_payload_lacks_is_told(payload: dict[str, Any], words: str) -> None:
    options = options_of({**FITTING, "from": "{payload.day}T00:00Z", "hours": 24})
    with pytest.raises(FileFailed, match=f"options.from needs payload.day, {words}"):
        span_of(options, payload)


async def test_a_zone_that_is_none_can_still_be_read_where_nothing_asks_for_it(pool: Pool) -> None:
    await define(pool, prices={"zone": "Europe/Berlim"})
    async with pool.connection("statement") as connection:
        assert defining.as_definitions(await defining.stored(connection)).task["prices"].calendar is None


async def test_what_was_applied_is_what_is_exported(tmp_path: Path, pool: Pool) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text(WHOLE)
    wanted = defining.as_stored(read_definitions(file))
    async with pool.begin() as connection:
        await defining.apply(connection, changes({}, wanted, prune=False), "tests")
    async with pool.connection("statement") as connection:
        found = await defining.stored(connection)
    assert found == wanted
    assert defining.as_definitions(found) == read_definitions(file)


DEFINITION = st.dictionaries(st.sampled_from(["interval_seconds", "auth", "files"]), st.integers(0, 2))
STORED = st.dictionaries(
    st.tuples(st.sampled_from(["task", "group"]), st.sampled_from(["a", "b", "c"])), DEFINITION, max_size=6
)


@given(before=STORED, after=STORED, prune=st.booleans())
def test_the_changes_lead_from_what_there_is_to_what_is_wanted(before: Stored, after: Stored, *, prune: bool) -> None:
    state = dict(before)
    kinds = []
    for change in changes(before, after, prune=prune):
        assert state.get((change.kind, change.name)) == change.before != change.after
        kinds.append((change.after is not None, change.kind))
        if change.after is None:
            del state[change.kind, change.name]
        else:
            state[change.kind, change.name] = change.after
        assert next(iter(change.lines())) == f"{change.sign} {change.kind} {change.name}"
    assert state == (after if prune else {**before, **after})
    assert kinds == sorted(kinds, key=[(False, "group"), (False, "task"), (True, "task"), (True, "group")].index)


def test_a_change_tells_each_setting_with_its_values() -> None:
    before: Stored = {("task", "a"): {"cron": "1 * * * *", "files": {"x": {"source": "s"}}}}
    after: Stored = {("task", "a"): {"auth": "b", "files": {"x": {"source": "t"}}}}
    (change,) = changes(before, after, prune=False)
    assert list(change.lines())[1:] == [
        '    auth: nothing -> "b"',
        '    cron: "1 * * * *" -> nothing',
        '    files.x.source: "s" -> "t"',
    ]


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("30 2 * * *", "2026-03-28T12:00", "2026-03-29T01:00"),  # 02:30 does not exist: it is made up for at 03:00
        ("30 2 * * *", "2026-10-24T12:00", "2026-10-25T00:30"),  # 02:30 comes twice: the first counts
        ("0 2 * * 1-5", "2026-11-27T12:00", "2026-11-30T01:00"),
    ],
)
def test_a_calendar_in_a_zone_whose_clocks_change(cron: str, after: str, expected: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    tick = next(Calendar(cron, "Europe/Berlin").after(moment))
    assert tick == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_time_that_comes_twice_counts_once() -> None:
    calendar = Calendar("30 2 * * *", "Europe/Berlin")
    start, end = datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC)
    assert len(calendar.between(start, end, 100)) == 3
    assert len(calendar.between(start, end, 2)) == 2


CHANGES = [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)]
LINES = ("* * * * *", "30 2 * * *", "*/20 1-3 * * *", "0 */2 * * *", "15 2 * * 7", "0 0 29 2 *")


@given(
    st.sampled_from(LINES), st.sampled_from(CHANGES), st.integers(-600, 600), st.integers(0, 3000), st.integers(1, 5)
)
def test_the_newest_ticks_are_the_last_of_all(cron: str, change: datetime, offset: int, span: int, most: int) -> None:
    calendar = Calendar(cron, "Europe/Berlin")
    start = change + timedelta(minutes=offset)
    end = start + timedelta(minutes=span, seconds=30)
    every = calendar.between(start - timedelta(microseconds=1), end, 10_000)
    assert calendar.newest(start, end, most) == every[-most:]
    assert all(start <= tick <= end for tick in every)

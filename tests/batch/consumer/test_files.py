"""What becomes of files: records that are not valid, providers in trouble, options that are wrong, and digests."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.batch.consumer.conftest import COUNT, Provider
from tests.kit.consumer import ConsumerProcess, Front, ask, call, until_ended
from tests.kit.databases import Database, until

Make = Callable[..., ConsumerProcess]
MakeFile = Callable[..., dict[str, Any]]
RULES: dict[str, Any] = {
    "uid": {"pattern": "^t0-"},
    "created_at": "timestamptz",
    "value": {"min": 3, "max": 248, "required": True},
    "price": {"type": "numeric"},
    "note": {"one_of": [f"note {number}" for number in range(1, COUNT) if number != 5]},
}


async def test_records_that_are_not_valid_are_set_aside_with_their_reasons(
    make: Make, file: MakeFile, provider: Provider, database: Database
) -> None:
    await provider.database.run(
        "update t0 set value = null where value = 10",
        "update t0 set uid = 'x' || uid where value = 11",
    )
    one = await make().started()
    told = await until_ended(one.url, call({"t0": file(columns=RULES)}))
    found = told["files"]["t0"]
    assert (found["state"], found["received"], found["applied"], found["rejected"]) == ("COMPLETED", COUNT, 243, 7)
    assert found["reason"] == "7 records were rejected"
    assert len(found["digest"]) == 32
    rows = await database.rows("select reasons from snk_batch_consumer.rejected order by record ->> 'uid'")
    assert [sorted(row[0], reverse=True) for row in rows] == [
        ["value is 1, below 3"],
        ["value is 2, below 3"],
        ["note is note 5, none of " + ", ".join(RULES["note"]["one_of"])],
        ["value is missing"],
        ["value is 249, above 248"],
        ["value is 250, above 248", "note is note 250, none of " + ", ".join(RULES["note"]["one_of"])],
        ["uid is xt0-00000011, which does not match ^t0-"],
    ]
    assert await database.value("select count(*) from loaded_t0") == 243


async def test_rejected_records_are_shown_without_codes_that_a_terminal_obeys(
    make: Make, file: MakeFile, provider: Provider
) -> None:
    await provider.database.run("update t0 set note = E'\\x1b[2Jnote' where value = 5")
    one = await make().started()
    await until_ended(one.url, call({"t0": file(columns=RULES), "t1": file("t1")}))
    found = json.loads(one.snk("rejected", "1", "--file", "t0", "--limit", "3", "--json").stdout)["rejected"]
    assert [(each["file"], each["number"], each["record"]["uid"]) for each in found] == [
        ("t0", number, f"t0-0000000{number}") for number in (1, 2, 5)
    ]
    shown = one.snk("rejected", "1").stdout
    assert "t0, record 5: note is \\u001b[2Jnote, none of note 1, " in shown
    assert '"uid": "t0-00000005"' in shown
    assert "\x1b" not in shown
    assert one.snk("rejected", "1", "--file", "t1").stdout == "no rejected records\n"
    missing = one.snk("rejected", "2")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "there is no run 2" in missing.stderr


async def test_values_that_do_not_fit_the_target_are_set_aside(
    make: Make, file: MakeFile, provider: Provider, database: Database
) -> None:
    await database.run("alter table loaded_t0 alter note type varchar(7), alter value type smallint")
    await provider.database.run("update t0 set value = 40000 where value = 3")
    one = await make().started()
    told = await until_ended(one.url, call({"t0": file()}))
    assert told["state"] == "COMPLETED"
    assert told["files"]["t0"]["rejected"] == 1 + 151
    reasons = [row[0] for row in await database.rows("select reasons[1] from snk_batch_consumer.rejected")]
    assert "value is 40000, which is no smallint" in reasons
    assert "note is note 100, which is no character varying(7)" in reasons


@pytest.mark.long
async def test_what_differs_in_the_target_is_found_and_mended_by_running_that_file_again(
    make: Make, file: MakeFile, database: Database
) -> None:
    await database.run(
        "create function spoil() returns trigger language plpgsql as"
        " $$begin if new.value = 7 then new.price := 8; end if; return new; end$$",
        "create trigger spoil before insert or update on loaded_t0 for each row execute function spoil()",
    )
    one = await make().started()
    files = {"t0": file(), "t1": file("t1")}
    told = await until_ended(one.url, call(files))
    assert (told["state"], told["files"]["t1"]["state"]) == ("RECON_FAILED", "COMPLETED")
    assert told["files"]["t0"]["reason"].startswith("the target holds others than the provider sent: digest ")
    assert told["reason"].startswith("t0: the target holds")
    await database.run("drop trigger spoil on loaded_t0")
    again = await until_ended(one.url, call({"t0": file()}, fence=9, since=9))
    assert again["state"] == "COMPLETED"
    assert await database.value("select price from loaded_t0 where value = 7") == 7 * 1.25


async def test_rows_that_vanish_from_the_target_are_found(make: Make, file: MakeFile, database: Database) -> None:
    await database.run(
        "create function lose() returns trigger language plpgsql as"
        " $$begin if new.value = 7 then return null; end if; return new; end$$",
        "create trigger lose before insert on loaded_t0 for each row execute function lose()",
    )
    one = await make().started()
    for run, changed in enumerate(({}, {"from": None, "to": None}), 1):
        told = await until_ended(one.url, call({"t0": file(**changed)}, run=run))
        assert told["state"] == "RECON_FAILED"
        assert f"received {COUNT}, rejected 0, applied {COUNT - 1}" in told["reason"]


async def test_records_that_change_while_they_are_loaded_are_loaded_once_more(
    make: Make, file: MakeFile, front: Front, provider: Provider, database: Database
) -> None:
    changed = False

    async def change(path: str) -> None:
        nonlocal changed
        if path.endswith("/digest") and not changed:
            changed = True
            await provider.database.run("update t0 set note = 'other' where value = 1")

    front.says = lambda request: change(request.path)
    one = await make().started()
    told = await until_ended(one.url, call({"t0": file()}))
    assert told["state"] == "COMPLETED"
    assert await database.value("select note from loaded_t0 where value = 1") == "other"
    assert front.pages("t0").count(None) == 2


@pytest.mark.long
async def test_records_that_never_stop_changing_are_not_taken_for_equal(
    make: Make, file: MakeFile, front: Front, provider: Provider
) -> None:
    async def change(path: str) -> None:
        if path.endswith("/digest"):
            await provider.database.run("update t0 set note = note || '!' where value = 1")

    front.says = lambda request: change(request.path)
    one = await make().started()
    told = await until_ended(one.url, call({"t0": file()}))
    assert told["state"] == "RECON_FAILED"
    assert told["reason"].endswith("it was loaded 3 times")
    assert front.pages("t0").count(None) == 3


@pytest.mark.long
async def test_trouble_of_the_provider_is_waited_for_and_told(make: Make, file: MakeFile, front: Front) -> None:
    answers = [503, 429, 500]
    one = await make().started()
    body = call({"t0": file()})
    front.says = lambda _: 503
    await ask(one.url, body)

    async def told_why() -> bool:
        found = (await ask(one.url, body))[1]["files"]["t0"]
        return found["state"] == "RUNNING" and "answers 503 to /v1/t0" in found["reason"]

    await until(told_why, "the reason to be told")
    front.says = lambda _: answers.pop() if answers else None
    told = await until_ended(one.url, body)
    assert (told["state"], told["files"]["t0"]["reason"]) == ("COMPLETED", "")
    assert not answers


async def test_a_provider_that_cannot_be_reached_is_waited_for(make: Make, file: MakeFile) -> None:
    one = await make().started()
    body = call({"t0": file(source="http://127.0.0.1:9/v1/t0")})
    await ask(one.url, body)

    async def told_why() -> bool:
        found = (await ask(one.url, body))[1]["files"]["t0"]
        return "it cannot be reached" in found["reason"] and found["state"] == "RUNNING"

    await until(told_why, "the reason to be told")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "executor": ({"executor": "nothing"}, "there is no executor 'nothing'. There are http_table"),
    "auth": ({"auth": "nobody"}, "auth is 'nobody', and this consumer has no such credentials"),
    "source": ({"source": "ftp://x/y"}, "source is 'ftp://x/y'"),
    "dataset": ({"source": "{url}/v1/nothing"}, "the provider answers 404 to /v1/nothing"),
    "table": ({"target": "public.nowhere"}, "the consumer's database has no such table"),
    "column": ({"columns": ["uid", "wrong"]}, "options.columns has 'wrong', and public.loaded_t0 has no such column"),
    "key": ({"key": "value"}, "has no unique index of exactly the columns of options.key"),
    "key of none": ({"key": "other"}, "key has 'other', which is not in columns"),
    "option": ({"colums": []}, "there is no options.colums; there are target, key, columns, from, to, hours"),
    "time": ({"from": "yesterday"}, "options.from is 'yesterday'"),
    "payload": ({"from": "{payload.day}T00:00:00Z"}, "options.from needs payload.day, which the payload does not have"),
    "page": ({"page_rows": 500_000}, "the provider answers 422 to /v1/t0"),
    "pattern": ({"columns": {"uid": {"pattern": "("}}}, "invalid regular expression"),
    "type": ({"columns": {"uid": "wrong"}}, "options.columns.uid.type is 'wrong', which is no type of values"),
}


async def test_what_a_person_has_to_change_fails_its_file_with_a_clear_reason(
    make: Make, file: MakeFile, front: Front
) -> None:
    one = await make().started()
    files = {f"f{number}": file(**given) for number, (given, _) in enumerate(WRONG.values())}
    for each in files.values():
        each["source"] = each["source"].replace("{url}", front.url)
    told = await until_ended(one.url, call(files))
    assert told["state"] == "FAILED"
    for number, (_, words) in enumerate(WRONG.values()):
        found = told["files"][f"f{number}"]
        assert found["state"] == "FAILED"
        assert words in found["reason"]


async def test_records_that_the_target_refuses_fail_the_file_and_nothing_is_merged(
    make: Make, file: MakeFile, database: Database
) -> None:
    await database.run("alter table loaded_t0 add check (value < 200)")
    one = await make().started()
    told = await until_ended(one.url, call({"t0": file()}))
    assert told["state"] == "FAILED"
    assert 'violates check constraint "loaded_t0_value_check"; nothing was merged' in told["reason"]
    assert await database.value("select count(*) from loaded_t0") == 0
    await database.run("alter table loaded_t0 drop constraint loaded_t0_value_check")
    told = await until_ended(one.url, call({"t0": file()}, fence=2, since=2))
    assert told["state"] == "COMPLETED"


@pytest.mark.long
async def test_two_records_with_one_key_fail_the_file(
    make: Make, file: MakeFile, provider: Provider, database: Database
) -> None:
    await provider.database.run("update t0 set note = 'same' where value < 3")
    await database.run("alter table loaded_t0 drop constraint loaded_t0_pkey, add primary key (note)")
    one = await make().started()
    told = await until_ended(one.url, call({"t0": file(key="note")}))
    assert (told["state"], told["reason"]) == (
        "FAILED",
        "t0: public.loaded_t0: two records have the same note; nothing was merged",
    )


@pytest.mark.long
async def test_records_of_a_time_that_is_not_over_are_waited_for(make: Make, file: MakeFile) -> None:
    one = await make().started()
    body = call({"t0": file(to="2999-01-01T00:00:00Z"), "t1": file("t1")})
    await ask(one.url, body)

    async def waits() -> bool:
        _, told = await ask(one.url, body)
        return told["files"]["t1"]["state"] == "COMPLETED" and bool(told["files"]["t0"]["reason"])

    await until(waits, "the other file to be loaded")
    _, told = await ask(one.url, body)
    assert told["state"] == "RUNNING"
    assert told["files"]["t0"]["state"] in ("WAITING", "RUNNING")
    assert "before the end of the records, 2999-01-01T00:00:00Z" in told["files"]["t0"]["reason"]


@pytest.mark.long
async def test_a_file_that_waits_is_tried_at_a_call_though_others_are_under_way(
    make: Make, file: MakeFile, front: Front
) -> None:
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    front.says = lambda request: wait() if request.path == "/v1/t1" else None
    soon = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    one = await make().started()
    body = call({"t0": file(to=soon), "t1": file("t1")})

    async def loaded() -> bool:
        _, told = await ask(one.url, body)
        return bool(told["files"]["t0"]["state"] == "COMPLETED")

    await until(loaded, "the time to be over")
    assert (await ask(one.url, body))[1]["files"]["t1"]["state"] == "RUNNING"
    gate.set()
    assert (await until_ended(one.url, body))["state"] == "COMPLETED"


async def test_times_come_from_the_payload_of_the_trigger(make: Make, file: MakeFile, database: Database) -> None:
    one = await make().started()
    given = file(**{"from": "{payload.at.day}T00:00:00.100Z", "to": None, "hours": 0.00002})
    told = await until_ended(one.url, call({"t0": given}, payload={"at": {"day": "2026-11-25"}}))
    assert (told["state"], told["files"]["t0"]["expected"]) == ("COMPLETED", 72)
    assert await database.value("select min(value) from loaded_t0") == 100


async def test_a_dataset_without_a_time_is_counted(make: Make, file: MakeFile, database: Database) -> None:
    one = await make().started()
    told = await until_ended(one.url, call({"t0": file(**{"from": None, "to": None})}))
    found = told["files"]["t0"]
    assert (found["state"], found["received"], found["expected"], found["digest"]) == ("COMPLETED", COUNT, None, None)
    assert await database.value("select count(*) from loaded_t0") == COUNT


async def test_rows_that_are_there_are_updated(make: Make, file: MakeFile, database: Database) -> None:
    await database.run(
        "alter table loaded_t0 add own text",
        "insert into loaded_t0 select each, now(), 0, 0, 'old', 'kept' from unnest(array['t0-00000001', 'other']) each",
    )
    one = await make().started()
    told = await until_ended(one.url, call({"t0": file()}))
    assert told["state"] == "COMPLETED"
    rows = await database.rows("select uid, value, own from loaded_t0 where own = 'kept' order by uid")
    assert rows == [("other", 0, "kept"), ("t0-00000001", 1, "kept")]
    assert await database.value("select count(*) from loaded_t0") == COUNT + 1


@pytest.mark.long
@pytest.mark.parametrize("body", ["[]", '{"items": 1, "next": null}', '{"items": [], "next": "x"}', "nothing"])
async def test_what_is_no_page_fails_the_file(make: Make, file: MakeFile, front: Front, body: str) -> None:
    one = await make().started()
    front.instead = body
    told = await until_ended(one.url, call({"t0": file()}))
    assert told["state"] == "FAILED"
    assert "the provider's answer is no page" in told["reason"]


@pytest.mark.long
async def test_each_file_has_its_own_credentials(make: Make, file: MakeFile, front: Front) -> None:
    more = '[consumer.credentials]\nprovider = { bearer = "of-all" }\nother = { user = "me", password = "secret" }\n'
    one = await make(more=more).started()
    files = {"t0": file(), "t1": file("t1", auth="other")}
    assert (await until_ended(one.url, call(files)))["state"] == "COMPLETED"
    sent = {path.split("/")[2]: authorization for path, _, authorization in front.came}
    assert sent == {"t0": "Bearer of-all", "t1": "Basic bWU6c2VjcmV0"}
    assert "secret" not in one.log
    assert "of-all" not in json.dumps(one.snk("runs", "--json").stdout)


@pytest.mark.long
async def test_a_database_that_goes_away_is_waited_for(
    make: Make, file: MakeFile, front: Front, database: Database
) -> None:
    held = asyncio.Event()

    async def wait() -> None:
        await held.wait()

    front.says = lambda request: wait() if request.query.get("after") else None
    one = await make().started()
    body = call({"t0": file()})
    await ask(one.url, body)

    async def stored() -> bool:
        return bool(await database.value("select received from snk_batch_consumer.file"))

    await until(stored, "the first page to be stored")
    await database.run(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    held.set()
    assert (await until_ended(one.url, body))["files"]["t0"]["received"] == COUNT

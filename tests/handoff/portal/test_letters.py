"""Dead letters as the pages list and open them, and how many are handled at once."""

import json
import os
from pathlib import Path
from threading import Thread

import pytest

from snk.errors import SettingsError
from snk.handoff.codecs.jsonl import Jsonl
from snk.handoff.dead import DeadLetters, letter_of
from snk.handoff.log import Log
from snk.handoff.portal.handling import MOST_AT_ONCE, Handling
from snk.handoff.portal.letters import HIDDEN, MOST_BODY_BYTES, MOST_DECODED_BYTES, LetterRow, Listings, Said, said
from snk.handoff.put_back import put_back
from tests.kit.handoff import OLD, World, until

NAME = "10.0.0.7:80"
SECRETS = ("X-Api-Key", "Cookie", "X-Auth", "Proxy-Authorization", "X-Session-Token", "Signature")


def bury(letters: DeadLetters, line: bytes, number: int = 0) -> None:
    letters.bury(letter_of((NAME, OLD, number), "why", len(line)), line)


def handling(world: World, most_line: int = 2**20) -> Handling:
    return Handling(world.letters, lambda: Log(world.logs, Jsonl()), most_line)


def opened(world: World, line: bytes) -> Said:
    bury(world.letters, line)
    name = world.letters.names(NAME)[0]
    return said(world.letters, LetterRow(name, world.letters.head(name)), Jsonl(), 1000.0)


def filled(world: World, count: int) -> None:
    """So many letters, without forcing each to disk."""
    folder = world.state.dead / NAME
    folder.mkdir(parents=True)
    for number in range(count):
        letter = letter_of((NAME, OLD, number), "why", 2)
        (folder / f"2023-11-14-22-13-{number + 1:09d}-00000000.dead").write_text(f"{json.dumps(letter.as_json)}\n{{}}")


def test_headers_that_may_hold_a_secret_are_hidden(world: World) -> None:
    given = dict.fromkeys(SECRETS, "secret") | {"Content-Type": "text/plain"}
    shown = opened(world, json.dumps({"path": "/a", "headers": given}).encode())
    assert dict(shown.headers) == dict.fromkeys(SECRETS, HIDDEN) | {"Content-Type": "text/plain"}


def test_a_body_is_text_and_cut(world: World) -> None:
    shown = opened(world, json.dumps({"path": "/a", "body": "\x1b[2J\u202e\n" + "x" * MOST_BODY_BYTES}).encode())
    assert shown.text.startswith("\\u001b[2J\\u202e\nx")
    assert shown.more == 8


def test_a_line_that_is_too_long_is_not_decoded(world: World) -> None:
    shown = opened(world, b"x" * (MOST_DECODED_BYTES + 1))
    assert (shown.request, len(shown.text), shown.more) == (None, MOST_BODY_BYTES, MOST_DECODED_BYTES + 1 - 4096)


def test_a_line_whose_time_is_over_says_so(world: World) -> None:
    shown = opened(world, b'{"path":"/a","expires_at":999}')
    assert (shown.request, "time to live is over" in shown.why) == (None, True)


def test_a_list_has_the_newest_and_says_how_many_there_are(world: World) -> None:
    filled(world, 120)
    letters = world.letters
    listings = Listings(letters)
    group = listings.group(NAME, 100)
    assert (group.count, group.more, group.rows[0].letter.line, group.rows[-1].letter.line) == (120, 20, 120, 21)
    assert listings.group("10.0.0.8:80", 10).count == 0


def test_a_folder_that_did_not_change_is_not_read_again_and_one_that_did_is(world: World) -> None:
    filled(world, 3)
    letters, folder = world.letters, world.state.dead / NAME
    os.utime(folder, (1000, 1000))
    first = letters.kept(NAME)
    assert letters.kept(NAME) is first
    letters.drop(letters.names(NAME)[0])
    assert letters.kept(NAME).count == 2


def test_not_more_than_so_many_are_handled_at_once(world: World) -> None:
    filled(world, MOST_AT_ONCE + 5)
    chosen = handling(world).all_of(NAME)
    assert (len(chosen.names), chosen.of) == (MOST_AT_ONCE, MOST_AT_ONCE + 5)
    assert chosen.names == sorted(chosen.names)


@pytest.mark.parametrize("backend", ["", "..", "../dead/10.0.0.7:80", "/etc"])
def test_nothing_else_is_taken_for_a_backend(world: World, backend: str) -> None:
    filled(world, 1)
    assert handling(world).all_of(backend).names == []


async def test_what_is_replayed_is_in_the_log_in_its_order(world: World) -> None:
    filled(world, 50)
    work = handling(world)
    chosen = work.all_of(NAME)
    form = {"backend": NAME, "count": "50", "seal": chosen.seal}
    for wrong in ({**form, "seal": "?"}, {**form, "count": "49"}, {**form, "count": "-1"}, {"backend": NAME}):
        with pytest.raises(SettingsError):
            await work.replay(wrong, "")
    done = await work.replay(form, "")
    assert (done.ok, world.dead()) == (True, [])
    logs: list[Path] = sorted((world.logs / NAME).iterdir())
    assert b"".join(log.read_bytes() for log in logs) == b"{}\n" * 50


async def test_what_takes_long_goes_on_after_the_answer_and_nothing_else_begins_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snk.handoff.portal.handling.ANSWER_SECONDS", 0)
    filled(world, 200)
    handled = handling(world)
    form = {"backend": NAME, "count": "200", "seal": handled.all_of(NAME).seal}
    done = await handled.replay(form, "")
    assert (done.ok, done.text.startswith(f"Putting back 200 dead letters of {NAME}")) == (True, True)
    other = await handled.drop({"letter": world.letters.names(NAME)[-1]}, "")
    assert (other.ok, other.text.startswith("Something else is under way")) == (False, True)
    work = handled.work
    assert work is not None
    await until(lambda: not work.running, "the work to be done")
    assert (work.text, world.dead()) == (f"200 dead letters of {NAME} put back into the log.", [])


async def test_one_that_cannot_be_replayed_does_not_keep_back_the_others(world: World) -> None:
    bury(world.letters, b"{}")
    bury(world.letters, b"two\nlines", 1)
    bury(world.letters, b"x" * 100, 2)
    bury(world.letters, b"{}", 3)
    work = handling(world, most_line=50)
    form = {"backend": NAME, "count": "4", "seal": work.all_of(NAME).seal}
    done = await work.replay(form, "")
    assert (done.ok, done.text.startswith(f"2 dead letters of {NAME} put back into the log. 2 not: ")) == (False, True)
    assert [line for _, line, _ in world.dead()] == [2, 3]


async def test_a_log_that_cannot_be_written_keeps_the_dead_letters(world: World) -> None:
    bury(world.letters, b"{}")
    (world.logs / NAME).write_text("no folder")
    work = handling(world)
    done = await work.replay({"letter": world.letters.names(NAME)[0]}, "")
    assert (done.ok, "0 dead letters" in done.text, len(world.dead())) == (False, True, 1)


def test_two_who_replay_one_letter_send_it_once(world: World) -> None:
    bury(world.letters, b'{"path": "/a"}')
    name = world.letters.names(NAME)[0]
    told: list[str] = []
    with world.letters.taken(name):

        def replayed() -> None:
            try:
                put_back(DeadLetters(world.state.dead), Log(world.logs, Jsonl()), name)
            except SettingsError as error:
                told.append(str(error))

        other = Thread(target=replayed)
        other.start()
        other.join(0.2)  # it waits for the one who has the letter
    other.join()
    assert [words.split(" '")[0] for words in told] == ["There is no dead letter"]
    assert not list(world.logs.rglob("*.log"))


def test_a_letter_that_could_not_be_put_back_stays(world: World) -> None:
    bury(world.letters, b'{"path": "/a"}')
    name = world.letters.names(NAME)[0]
    with pytest.raises(OSError, match="full"), world.letters.taken(name):
        raise OSError("full")
    assert world.letters.names(NAME) == [name]

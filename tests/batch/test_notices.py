"""What is sent of alerts: signed, at least once, later if need be, and given up after a day."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from snk.batch.channels import Alerts, Email, Kind, Webhook
from snk.batch.platform import alerts, attention, outbox, resolving
from snk.batch.platform.alerts import Cause
from snk.batch.platform.mail import MailChannel
from snk.batch.platform.message import Message, NotSent
from snk.batch.platform.sender import Sender, channels_of
from snk.batch.platform.tables import CHANNEL, NOTICE, NOW
from snk.batch.platform.webhook import signature
from snk.batch.settings import load_settings
from snk.db.functions import interval
from snk.db.pool import Pool
from snk.errors import SettingsError
from tests.kit.alarms import SECRET, Mailbox, Receiver, receiving, taking_mail
from tests.kit.batch import World
from tests.kit.databases import DEADLINE_SECONDS, until
from tests.kit.tls import Certificates

CAUSE = Cause(Kind.UNREACHABLE, "task prices", "3 calls failed", "prices", 7)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving(Receiver()) as made:
        yield made


def alerting(*receivers: Receiver) -> Alerts:
    names = ("ops", "other")
    given = [{"name": name, "url": each.url, "secret": SECRET} for name, each in zip(names, receivers, strict=False)]
    return Alerts.model_validate({"webhooks": given, "link": "http://book.example/alerts"})


async def find(pool: Pool) -> None:
    async with pool.begin() as connection:
        await alerts.found(connection, CAUSE)


async def due_now(pool: Pool) -> None:
    async with pool.connection("statement") as connection:
        await connection.execute(sa.update(NOTICE).values(due_at=NOW))


async def flushed(pool: Pool, settings: Alerts) -> None:
    """A node sends what is due, and ends."""
    sender = Sender(pool, channels_of(settings))
    await sender.announce()
    await sender.flush()
    await sender.close()


async def announced(pool: Pool, settings: Alerts) -> None:
    sender = Sender(pool, channels_of(settings))
    await sender.announce()
    await sender.close()


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the reference libraries."""
    given = {"name": "a", "url": "http://h/", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    made = signature(
        Webhook.model_validate(given).key,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_webhook_says_what_was_found_and_then_that_it_is_over(pool: Pool, receiver: Receiver) -> None:
    settings = alerting(receiver)
    await announced(pool, settings)
    await find(pool)
    await flushed(pool, settings)
    await resolving.sweep(pool)  # there is no task prices
    await flushed(pool, settings)
    raised, resolved = receiver.taken
    assert datetime.fromisoformat(raised.pop("at")) < datetime.fromisoformat(resolved.pop("at"))
    same = {"alert": 1, "kind": "unreachable", "subject": "task prices", "task": "prices", "run": 7}
    link = {"link": "http://book.example/alerts"}
    assert raised == {**same, **link, "event": "raised", "text": "3 calls failed"}
    assert resolved == {**same, **link, "event": "resolved", "text": "there is no task prices any more"}
    assert len(set(receiver.ids)) == 2


async def test_a_receiver_that_was_down_is_told_later_and_once(pool: Pool) -> None:
    receiver = Receiver()
    async with receiving(receiver):
        settings = alerting(receiver)
    await announced(pool, settings)
    await find(pool)
    await flushed(pool, settings)
    async with pool.connection("statement") as connection:
        row = (await connection.execute(sa.select(NOTICE).where(NOTICE.c.channel == "ops"))).one()
    assert (row.tries, row.sent_at) == (1, None)
    assert "it cannot be reached" in row.error
    async with receiving(receiver):
        await due_now(pool)
        await asyncio.gather(*(flushed(pool, settings) for _ in range(5)))
        await due_now(pool)
        await flushed(pool, settings)
    assert len(receiver.taken) == 1


async def test_the_delay_grows_and_what_is_resolved_waits_for_what_was_raised(pool: Pool, receiver: Receiver) -> None:
    settings = alerting(receiver)
    receiver.status = 500
    await announced(pool, settings)
    await find(pool)
    waits = []
    for _ in range(5):
        await due_now(pool)
        await flushed(pool, settings)
        async with pool.connection("statement") as connection:
            wait = sa.select(sa.func.extract("epoch", NOTICE.c.due_at - NOW)).where(NOTICE.c.channel == "ops")
            waits.append(float((await connection.execute(wait)).scalar_one()))
    assert waits[4] > waits[0]
    await resolving.sweep(pool)
    await due_now(pool)
    await flushed(pool, settings)
    assert {each["event"] for each in receiver.taken} == {"raised"}
    receiver.status = 200
    await due_now(pool)
    await flushed(pool, settings)
    assert [each["event"] for each in receiver.taken[-2:]] == ["raised", "resolved"]
    assert len(set(receiver.ids)) == 2


async def test_a_receiver_that_asks_for_rest_gets_it(pool: Pool, receiver: Receiver) -> None:
    settings = alerting(receiver)
    receiver.status, receiver.headers = 429, {"Retry-After": "250"}
    await announced(pool, settings)
    await find(pool)
    await flushed(pool, settings)
    async with pool.connection("statement") as connection:
        wait = sa.select(NOTICE.c.due_at > NOTICE.c.created_at + interval(250)).where(NOTICE.c.channel == "ops")
        assert (await connection.execute(wait)).scalar_one()


async def test_a_channel_that_hangs_delays_no_other(pool: Pool, receiver: Receiver) -> None:
    async with receiving(Receiver()) as other:
        settings = alerting(receiver, other)
        await announced(pool, settings)
        await find(pool)
        receiver.gate = asyncio.Event()
        sender = Sender(pool, channels_of(settings))
        stop = asyncio.Event()
        running = asyncio.create_task(sender.run(stop))

        async def other_told() -> bool:
            return bool(other.taken)

        await until(other_told, "the other channel to be told")
        receiver.gate.set()
        stop.set()
        await running
        await sender.close()
    assert len(other.taken) == 1


async def test_after_a_day_it_is_given_up_and_said(pool: Pool, receiver: Receiver) -> None:
    settings = alerting(receiver)
    receiver.status = 503
    await announced(pool, settings)
    await find(pool)
    async with pool.connection("statement") as connection:
        await connection.execute(sa.update(NOTICE).values(created_at=NOW - interval(86_401)))
    for _ in range(2):
        await flushed(pool, settings)
        await due_now(pool)
    assert len(receiver.taken) == 1
    async with pool.connection("snapshot") as connection:
        (alert,) = await attention.listed(connection)
    (notice,) = [each for each in alert["notices"] if each["channel"] == "ops"]
    assert notice["gave_up_at"]
    assert notice["error"] == "it answers 503"


async def test_a_channel_that_left_the_settings_is_forgotten(pool: Pool, receiver: Receiver) -> None:
    await announced(pool, alerting(receiver))
    await find(pool)
    async with pool.connection("statement") as connection:
        await connection.execute(sa.update(CHANNEL).values(seen_at=NOW - interval(7200)))
        await connection.execute(sa.update(NOTICE).values(created_at=NOW - interval(86_401)))
    await flushed(pool, Alerts())
    async with pool.connection("statement") as connection:
        assert list((await connection.execute(sa.select(CHANNEL.c.name))).scalars()) == ["log"]
        errors = sa.select(NOTICE.c.error).where(NOTICE.c.gave_up_at.is_not(None))
        assert list((await connection.execute(errors)).scalars()) == ["it is in the settings of no node"]


async def test_one_that_was_too_slow_to_note_does_not_undo_what_another_node_did(pool: Pool) -> None:
    await announced(pool, Alerts())
    await find(pool)
    async with pool.connection("statement") as connection:
        (mine,) = await outbox.take(connection, "log", 10)
        assert await outbox.take(connection, "log", 10) == []
    await due_now(pool)
    async with pool.connection("statement") as connection:
        (theirs,) = await outbox.take(connection, "log", 10)
        await outbox.failed(connection, mine, "late", 0.0)
        assert await outbox.take(connection, "log", 10) == []
        await outbox.sent(connection, theirs, "")
        await outbox.failed(connection, mine, "late", 0.0)
        row = (await connection.execute(sa.select(NOTICE))).one()
    assert theirs.message.uid == mine.message.uid
    assert (row.error, row.sent_at is None) == ("", False)


def mail_settings(box: Mailbox, security: str, to: Sequence[str] = ("ann@example.com", "bob@example.com")) -> Email:
    given = {"name": "mail", "host": "localhost", "port": box.port, "from": "snk@example.com", "to": to}
    login = {} if security == "none" else {"user": "snk", "password": "wonder"}
    return Email.model_validate(given | {"security": security} | login)


def message(text: str = "no such file") -> Message:
    return Message(uuid4(), 3, "failed", "raised", "run 17", "prices", 17, text, datetime(2026, 11, 25, tzinfo=UTC))


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    made = Certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.trusted))
    return made


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
async def test_a_mail_arrives_and_its_headers_are_its_own(certificates: Certificates, security: str) -> None:
    async with taking_mail(Mailbox(), security, certificates.context("good")) as box:
        channel = MailChannel(mail_settings(box, security), "http://book.example")
        hostile = message("x\r\nBcc: eve@example.com\r\n\r\nbody ä")
        assert await channel.send(hostile) == ""
    (mail,) = box.mails
    assert mail["Subject"] == "[snk batch] failed raised: run 17 of prices"
    assert (mail["From"], mail["To"], mail["Bcc"]) == ("snk@example.com", "ann@example.com, bob@example.com", None)
    assert mail["Message-ID"] == f"<{hostile.uid}@example.com>"
    assert box.recipients == [["ann@example.com", "bob@example.com"]]
    text = mail.get_content().replace("\r\n", "\n")
    assert "body ä" in text
    assert "run: 17\n" in text
    assert "link: http://book.example\n" in text
    assert box.logins == ([] if security == "none" else [("snk", "wonder")])


@pytest.mark.parametrize("which", ["of another host", "expired", "of an unknown authority"])
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_mail_server_has_to_show_who_it_is(certificates: Certificates, security: str, which: str) -> None:
    async with taking_mail(Mailbox(), security, certificates.context(which)) as box:
        with pytest.raises(NotSent, match="certificate"):
            await MailChannel(mail_settings(box, security), "").send(message())
    assert (box.mails, box.logins) == ([], [])


async def test_a_server_without_starttls_gets_no_password(certificates: Certificates) -> None:
    async with taking_mail(Mailbox(), "none", certificates.context("good")) as box:
        with pytest.raises(NotSent, match="STARTTLS"):
            await MailChannel(mail_settings(box, "starttls"), "").send(message())
    assert (box.mails, box.logins) == ([], [])


async def test_who_is_refused_is_noted_and_a_mail_for_nobody_is_not_sent(certificates: Certificates) -> None:
    async with taking_mail(Mailbox({"ann@example.com"}), "none", certificates.context("good")) as box:
        remark = await MailChannel(mail_settings(box, "none"), "").send(message())
        assert remark == "ann@example.com was refused: 550 nobody of that name"
        assert box.recipients == [["bob@example.com"]]
        with pytest.raises(NotSent, match="nobody of that name"):
            await MailChannel(mail_settings(box, "none", ["ann@example.com"]), "").send(message())
    with pytest.raises(NotSent, match="Connect call failed"):
        await MailChannel(mail_settings(box, "none"), "").send(message())


HOOK = '[[batch.alerts.webhooks]]\nname = "ops"\nurl = "https://h.example/x"\nsecret = "{}"\n'
MAIL = '[[batch.alerts.emails]]\nname = "mail"\nhost = "h"\nfrom = "{}"\nto = ["{}"]\n{}\n'
LONG = "0123456789abcdefghijklmnop"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HOOK.format("hush-hush"), "batch.alerts.webhooks[0]: its secret has 9 bytes; use at least 24"),
        (HOOK.format("whsec_hush-hush"), "its secret is no base64 after whsec_"),
        (HOOK.format(LONG).replace("https", "ftp"), "its url is no address of a service"),
        (HOOK.format(LONG).replace("ops", "log"), "'log' is the name of the channel that is always there"),
        (HOOK.format(LONG) * 2, "two channels have the name 'ops'"),
        (HOOK.format(LONG) + 'kinds = ["late"]', "batch.alerts.webhooks[0].kinds"),
        (MAIL.format("snk", "a@b.c", ""), "batch.alerts.emails[0].from is 'snk': 'snk' is no address of mail"),
        (MAIL.format("a@b.c", "x\\nBcc: e@f.g", ""), "is no address of mail"),
        (MAIL.format("a@b.c", "a@b.c", 'user = "u"'), "give both user and password"),
        (MAIL.format("a@b.c", "a@b.c", 'user="u"\npassword="hush-hush"\nsecurity="none"'), "could be read on the way"),
        (MAIL.format("a@b.c", "a@b.c", 'form = "x"'), "the nearest one is batch.alerts.emails[0].from"),
    ],
)
def test_a_wrong_channel_is_refused_and_no_secret_is_shown(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "snk.toml"
    file.write_text(f'[batch]\ndatabase = "postgresql://a@h/b"\n{text}')
    with pytest.raises(SettingsError) as caught:
        load_settings(file)
    assert says in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "h.example" not in str(caught.value)


@pytest.fixture
def world(world: World, receiver: Receiver) -> World:
    with Path(world.config).open("a") as config:
        hook = {"name": "ops", "url": receiver.url, "secret": SECRET}
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in hook.items()]
        config.write("[[batch.alerts.webhooks]]\n" + "".join(lines))
    return world


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_when_a_node_ends_before_it_noted_what_it_sent_another_one_sends_the_same_again(
    world: World, receiver: Receiver, how: signal.Signals
) -> None:
    receiver.gate = asyncio.Event()
    world.start("a")

    async def announced() -> bool:
        return bool(await world.database.rows("select 1 from snk_batch.channel where name = 'ops'"))

    await until(announced, "the node to say its channels")
    await world.database.run(
        "insert into snk_batch.alert (kind, subject, text) values ('failed', 'run 9', 'it failed')",
        "insert into snk_batch.notice (alert, channel, event) values (1, 'ops', 'raised')",
    )

    async def came(times: int) -> bool:
        return len(receiver.ids) >= times

    await until(lambda: came(1), "the webhook")
    world.nodes["a"].send_signal(how)
    code = await asyncio.to_thread(world.nodes["a"].wait, DEADLINE_SECONDS)
    assert code == (0 if how == signal.SIGTERM else -how), world.log("a")
    receiver.gate.set()
    await world.database.run("update snk_batch.notice set due_at = now() where sent_at is null")  # its lease ends
    world.start("b")

    async def noted() -> bool:
        query = "select 1 from snk_batch.notice where channel = 'ops' and event = 'raised' and sent_at is not null"
        return bool(await world.database.rows(query))

    await until(noted, "another node to note that it was sent")
    raised = [uid for uid, each in zip(receiver.ids, receiver.taken, strict=True) if each["event"] == "raised"]
    assert len(raised) == 2
    assert len(set(raised)) == 1


@pytest.mark.long
async def test_the_commands_check_list_acknowledge_and_test(world: World, receiver: Receiver) -> None:
    async def snk(*words: str) -> tuple[int, str]:
        done = await asyncio.to_thread(world.snk, "alerts", *words)
        return done.returncode, done.stdout + done.stderr

    assert await snk("list") == (0, "no alerts\n")
    status, said = await snk("check")
    assert (status, "0 nodes alive" in said, "alert_raised" in said) == (1, True, True)
    assert await snk("check") == (1, "0 nodes alive\n")
    (told,) = receiver.taken
    assert (told["kind"], told["event"], told["task"]) == ("no_node", "raised", None)
    status, said = await snk("list")
    assert (status, "OPEN" in said, "start one with `snk batch platform`" in said) == (1, True, True)
    assert (await snk("ack", "77", "--note", "x"))[0] == 2
    assert (await snk("ack", "1", "--note", "on my way"))[0] == 0
    assert (await snk("list"))[0] == 0
    world.start("a")

    async def resolved() -> bool:
        return [each["event"] for each in receiver.taken] == ["raised", "resolved"]

    await until(resolved, "the node to resolve it")
    assert (await snk("check"))[0] == 0
    status, said = await snk("list", "--all", "--json")
    (alert,) = json.loads(said)["alerts"]
    assert (status, alert["note"], alert["resolution"]) == (0, "on my way", "a node is alive")
    assert "alert_resolved" in world.log("a")
    status, said = await snk("test", "--json")
    assert (status, receiver.taken[-1]["kind"]) == (0, "test")
    receiver.status = 404
    status, said = await snk("test")
    assert (status, "ops: it answers 404" in said) == (1, True)
    assert SECRET not in said

"""Credentials go to no server but those that the settings name, wherever a call says that records are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from snk.batch.consumer.settings import Consumer, load_settings
from snk.errors import SettingsError
from tests.kit.consumer import Callbacks, ConsumerProcess, Front, call, until_ended
from tests.kit.databases import DEADLINE_SECONDS, until

Make = Callable[..., ConsumerProcess]
MakeFile = Callable[..., dict[str, Any]]
SECRET = "not-to-be-seen"


async def test_a_file_at_another_server_fails_and_no_secret_leaves(make: Make, file: MakeFile, front: Front) -> None:
    more = (
        f'[consumer.credentials]\nprovider = {{ bearer = "{SECRET}", for = ["https://provider.example"] }}\n'
        f'front = {{ bearer = "for-the-front", for = ["https://other.example", "{front.url}/"] }}\n'
        f'platform = {{ bearer = "{SECRET}", for = ["http://platform.example:8094"] }}\n'
    )
    one = await make(more=more).started()
    own = {"target": "snk_batch_consumer.staged", "key": ["file", "number"], "columns": ["file", "number"]}
    files = {
        "default": file(),
        "named": file("t1", auth="front"),
        "platform": file("t2", auth="platform"),
        "own": file("t3", auth="front", **own),
    }
    told = (await until_ended(one.url, call(files)))["files"]
    assert {name: each["state"] for name, each in told.items()} == {
        "default": "FAILED",
        "named": "COMPLETED",
        "platform": "FAILED",
        "own": "FAILED",
    }
    assert told["default"]["reason"] == (
        f"source is at {front.url}, and the credentials 'provider' are not for it."
        " Add it to consumer.credentials.provider.for, or name other credentials by auth"
    )
    assert "auth is 'platform', and these credentials are for reports only" in told["platform"]["reason"]
    assert "'snk_batch_consumer.staged', one of the consumer's own tables" in told["own"]["reason"]
    assert {authorization for _, _, authorization in front.came} == {"Bearer for-the-front"}
    assert SECRET not in one.log
    assert "credentials_unbound" not in one.log


async def test_a_callback_at_another_server_gets_the_report_and_no_credentials(
    make: Make, file: MakeFile, callbacks: Callbacks
) -> None:
    callbacks.says = lambda _: 401
    more = '[consumer.credentials.platform]\nbearer = "for-the-platform"\nfor = ["http://127.0.0.1:9"]\n'
    one = await make(more=more).started()
    await until_ended(one.url, call({"t0": file()}, callback=callbacks.url))

    async def said() -> bool:
        return "consumer.credentials.platform.for does not name it" in one.log

    await until(said, "the reason to be logged")
    assert set(callbacks.authorizations) == {""}


@pytest.mark.long
async def test_credentials_that_go_anywhere_are_warned_of(make: Make) -> None:
    more = 'provider = { bearer = "a" }\nother = { bearer = "b", for = ["https://a"] }\nnone = {}\n'
    more = f"[consumer.credentials]\n{more}"
    one = await make(more=more).started()
    assert one.log.count("credentials_unbound") == 1
    assert "consumer.credentials.provider.for" in one.log


def read(folder: Path, text: str) -> Consumer:
    file = folder / "snk.toml"
    file.write_text(f'[consumer]\ndatabase = "postgresql://u@h/d"\n{text}')
    return load_settings(file)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('["provider.example"]', "'provider.example': write the beginning of an address"),
        ('["https://provider.example/v1"]', "'https://provider.example/v1': write the beginning"),
        ('["ftp://provider.example"]', "'ftp://provider.example': write the beginning"),
        ('["https://me:geheim@provider.example"]', "'https://***@provider.example': write the beginning"),
        ('["https://provider.example:port"]', "'https://provider.example:port'"),
        ('["https://"]', "'https://'"),
        ('["https://a?b"]', "'https://a?b'"),
        ('"https://provider.example"', "write a list"),
        ("[]", "for is []"),
    ],
)
def test_what_is_no_origin_is_told(tmp_path: Path, given: str, words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, f"[consumer.credentials.provider]\nbearer = '{SECRET}'\nfor = {given}\n")
    assert "consumer.credentials.provider.for" in str(raised.value)
    assert words in str(raised.value)
    assert SECRET not in str(raised.value)
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize(
    ("origin", "url", "allowed"),
    [
        ("https://provider.example", "https://provider.example/v1/x?y=z", True),
        ("https://provider.example", "https://PROVIDER.example:443/v1/x", True),
        ("https://provider.example:443/", "https://provider.example/", True),
        ("http://[::1]:8092", "http://[::1]:8092/v1/x", True),
        ("https://provider.example", "http://provider.example/", False),
        ("https://provider.example", "https://provider.example:8443/", False),
        ("https://provider.example", "https://provider.example.evil/", False),
        ("https://provider.example", "https://evil/provider.example", False),
        ("https://provider.example", "https://evil#@provider.example", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(tmp_path: Path, origin: str, url: str, *, allowed: bool) -> None:
    found = read(tmp_path, f"[consumer.credentials.provider]\nbearer = 'a'\nfor = ['{origin}']\n")
    assert found.credentials["provider"].allows(URL(url)) == allowed
    assert found.unbound == []


def test_tokens_of_its_own_keys_are_bound_too(tmp_path: Path) -> None:
    keys = "[consumer.auth]\nkeys = '/keys'\n"
    assert read(tmp_path, keys).unbound == ["platform"]
    bound = read(tmp_path, f"{keys}[consumer.credentials.platform]\nfor = ['https://platform.example']\n")
    assert bound.for_platform.jwt_key == "/keys/signing.json"
    assert not bound.for_platform.allows(URL("https://evil/"))
    assert bound.unbound == []
    nothing = read(tmp_path, f"{keys}[consumer.credentials.platform]\n")
    assert not nothing.for_platform.proves


def test_credentials_for_the_platform_without_anything_to_send_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"consumer\.credentials\.platform has `for`, and there is nothing to send"):
        read(tmp_path, "[consumer.credentials.platform]\nfor = ['https://platform.example']\n")
    provider = "[consumer.credentials.provider]\nfor = ['https://provider.example']\n"
    assert not read(tmp_path, provider).credentials["provider"].proves, "it says where records may come from"


def test_a_consumer_whose_keys_cannot_be_read_does_not_start(make: Make, tmp_path: Path) -> None:
    wrong = {
        f'[consumer.auth]\nkeys = "{tmp_path}/keys"\n': "Create one with `snk batch consumer keys rotate`",
        (
            f'[consumer.credentials.other]\njwt_key = "{tmp_path}/key"\nissuer = "me"\naudience = "you"\n'
        ): "consumer.credentials.other: jwt_key is",
    }
    for name, (more, words) in zip("ab", wrong.items(), strict=True):
        one = make(name, more)
        one.start()
        assert one.process
        assert one.process.wait(DEADLINE_SECONDS) == 2
        assert words in one.log

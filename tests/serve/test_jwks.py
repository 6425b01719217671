"""Where the keys of issuers come from: files that change, and a real server of keys that answers well and badly."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from snk.http.auth.authority import Authority, Unknown
from snk.http.auth.jwks import FileKeys, NoKey, UrlKeys, public_keys
from snk.http.auth.settings import AuthSettings
from tests.kit.issuers import NAME, KeyServer, a_key, a_token, jwks, replaced

OLD = time.time() - 3600


class Answers:
    """What the server of keys answers at present."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.status = 200
        self.headers: dict[str, str] = {}

    def __call__(self, _: web.Request) -> web.Response:
        return web.Response(text=self.text, status=self.status, headers=self.headers)


def trusting(jwks: str) -> Authority:
    issuer = {"issuer": NAME, "algorithm": "ES256", "jwks": jwks}
    return Authority(AuthSettings.model_validate({"issuers": [issuer]}))


async def test_keys_of_other_kinds_and_uses_are_skipped() -> None:
    good, other = a_key("ES256", "good"), a_key("ES256", "other")
    jwk: dict[str, Any] = dict(other.as_dict(private=False))
    listed = [
        {"kty": "AKP", "kid": "post-quantum"},
        {**jwk, "use": "enc"},
        {**jwk, "alg": "ES384"},
        {**jwk, "key_ops": ["encrypt"]},
        {**jwk, "key_ops": "verify it"},
        {**jwk, "x": "AA"},
        {**jwk, "x": 5},
        {"kty": "EC", "crv": "P-256", "kid": "other"},
        dict(a_key("Ed25519", "edwards").as_dict(private=False)),
        "text",
        None,
        dict(good.as_dict(private=False)),
    ]
    assert list(public_keys(json.dumps({"keys": listed}).encode(), "ES256")) == ["good"]


async def test_a_key_without_a_name_has_that_of_its_thumbprint() -> None:
    key = a_key()
    jwk = {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}
    assert list(public_keys(json.dumps({"keys": [jwk]}).encode(), "ES256")) == [key.thumbprint()]


async def test_of_a_private_key_only_the_public_part_is_kept() -> None:
    key = a_key("Ed25519", "mine")
    found = public_keys(json.dumps({"keys": [key.as_dict(private=True)]}).encode(), "Ed25519")
    assert not found["mine"].is_private


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"5", b"\xff", b'{"keys": 5}', b'{"keys": []}', b'{"keys": [[]]}', b"[" * 9000]
)
async def test_what_is_no_set_of_keys_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="it holds no"):
        public_keys(text, "ES256")


async def test_a_file_that_disappears_or_holds_nonsense_leaves_the_last_good_keys(tmp_path: Path) -> None:
    file, key, new = tmp_path / "jwks.json", a_key(), a_key()
    keys = FileKeys(file, "ES256")
    with pytest.raises(NoKey, match="cannot be read at present"):
        await keys.key(key.kid)
    assert "No such file" in str(await keys.trouble())
    file.write_text(jwks(key))
    await keys.key(key.kid)
    assert await keys.trouble() is None
    for nonsense in ("{", jwks(a_key("Ed25519")), "", jwks(new) + " " * 100_000):
        replaced(file, nonsense)
        assert str(await keys.trouble()).startswith(str(file))
        await keys.key(key.kid)
    file.unlink()
    assert "No such file" in str(await keys.trouble())
    await keys.key(key.kid)
    file.write_text(jwks(new))
    await keys.key(new.kid)
    assert await keys.trouble() is None
    with pytest.raises(NoKey, match="not known"):
        await keys.key(key.kid)


async def test_a_file_that_is_unchanged_keeps_its_key_objects(tmp_path: Path) -> None:
    """What was checked with a key stays checked."""
    file, key = tmp_path / "jwks.json", a_key()
    file.write_text(jwks(key))
    keys = FileKeys(file, "ES256")
    first = await keys.key(key.kid)
    replaced(file, jwks(key))
    assert await keys.trouble() is None
    assert await keys.key(key.kid) is first


async def test_an_old_file_that_was_away_is_used_again(tmp_path: Path) -> None:
    file, away, key = tmp_path / "jwks.json", tmp_path / "away.json", a_key()
    file.write_text(jwks(key))
    os.utime(file, (OLD, OLD))
    keys = FileKeys(file, "ES256")
    assert await keys.trouble() is None
    file.rename(away)
    assert await keys.trouble()
    away.rename(file)
    assert await keys.trouble() is None


async def test_a_file_that_is_changed_twice_within_a_tick_is_read_twice(tmp_path: Path) -> None:
    """Its size and times are the same: only because it is young it is read again."""
    file, first, second = tmp_path / "jwks.json", a_key("ES256", "one"), a_key("ES256", "two")
    keys = FileKeys(file, "ES256")
    file.write_text(jwks(first))
    stamp = file.stat()
    await keys.key("one")
    file.write_text(jwks(second))  # in place, the same inode
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert file.stat().st_size == stamp.st_size
    await keys.key("two")


async def test_a_file_that_is_old_and_unchanged_is_not_read_again(tmp_path: Path) -> None:
    file, key = tmp_path / "jwks.json", a_key()
    file.write_text(jwks(key))
    os.utime(file, (OLD, OLD))
    keys = FileKeys(file, "ES256")
    await keys.key(key.kid)
    assert keys._changed() is None
    os.utime(file, (OLD + 1, OLD + 1))
    assert keys._changed() is not None


async def test_an_unknown_kid_is_one_question_and_then_none_for_a_while() -> None:
    key = a_key()
    async with KeyServer(answers := Answers(jwks(key))) as server:
        authority = trusting(server.url)
        await authority.client(f"Bearer {a_token(key)}")
        assert server.asked == 1
        new = a_key()
        answers.text = jwks(key, new)
        for token in [a_token(new), *(a_token(a_key()) for _ in range(50))]:
            with pytest.raises(Unknown, match="its key is not known"):
                await authority.client(f"Bearer {token}")
        assert server.asked == 1, "the last question is less than ten seconds old"
        await authority.client(f"Bearer {a_token(key)}")
        await authority.close()


async def test_an_unknown_kid_asks_again_when_the_pause_is_over() -> None:
    key, new = a_key(), a_key()
    async with KeyServer(answers := Answers(jwks(key))) as server:
        keys = UrlKeys(server.url, "ES256", pause_seconds=0)
        await keys.key(key.kid)
        answers.text = jwks(key, new)
        await keys.key(new.kid)
        await keys.key(key.kid)
        assert server.asked == 2
        with pytest.raises(NoKey, match="not known"):
            await keys.key("unknown")
        assert server.asked == 3
        await keys.close()


async def test_requests_at_once_share_one_question() -> None:
    key, release = a_key(), asyncio.Event()

    async def slowly(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text=jwks(key))

    async with KeyServer(slowly) as server:
        keys = UrlKeys(server.url, "ES256", pause_seconds=0)
        waiting = [asyncio.create_task(keys.key(key.kid)) for _ in range(20)]
        while not server.asked:
            await asyncio.sleep(0.001)
        waiting[0].cancel()  # a client that hangs up
        release.set()
        found = await asyncio.gather(*waiting[1:])
        assert len({id(each) for each in found}) == 1
        assert server.asked == 1
        assert waiting[0].cancelled()
        await keys.close()


@pytest.mark.parametrize("what", ["status", "nonsense", "empty", "huge", "gone", "redirect"])
async def test_the_last_good_keys_are_kept_when_an_answer_is_bad(what: str) -> None:
    key, evil = a_key(), a_key()
    async with KeyServer(answers := Answers(jwks(key))) as server, KeyServer(Answers(jwks(evil))) as other:
        keys = UrlKeys(server.url, "ES256", pause_seconds=0)
        await keys.key(key.kid)
        match what:
            case "status":
                answers.status = 503
            case "nonsense":
                answers.text = "<html>"
            case "empty":
                answers.text = '{"keys": []}'
            case "huge":
                answers.text = jwks(evil) + " " * 10_000_000
            case "gone":
                await server.runner.cleanup()
            case _:
                answers.status, answers.headers = 302, {"Location": other.url}
        with pytest.raises(NoKey, match="not known"):
            await keys.key(evil.kid)
        assert server.url in str(await keys.trouble())
        await keys.key(key.kid)
        assert other.asked == 0
        if what != "gone":
            answers.text, answers.status = jwks(evil), 200
            await keys.key(evil.kid)
            assert await keys.trouble() is None
        await keys.close()


async def test_a_server_of_keys_that_is_down_at_first_is_asked_again() -> None:
    key = a_key()
    async with KeyServer(Answers(jwks(key))) as server:
        port = server.port
    keys = UrlKeys(server.url, "ES256", pause_seconds=0)
    with pytest.raises(NoKey, match="cannot be read at present"):
        await keys.key(key.kid)
    again = KeyServer(Answers(jwks(key)))
    again.port = port
    async with again:
        await keys.key(key.kid)
        await keys.close()


async def test_a_withdrawn_key_is_noticed_without_an_unknown_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snk.http.auth.jwks.FRESH_SECONDS", 0.0)
    key, new = a_key(), a_key()
    async with KeyServer(answers := Answers(jwks(key))) as server:
        keys = UrlKeys(server.url, "ES256", pause_seconds=0)
        await keys.key(key.kid)
        answers.text = jwks(new)
        await keys.key(key.kid)  # it does not wait for the question that it starts
        assert keys._asking
        await keys._asking
        with pytest.raises(NoKey):
            await keys.key(key.kid)
        await keys.close()


async def test_a_question_under_way_ends_when_the_authority_is_closed() -> None:
    async def never(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with KeyServer(never) as server:
        authority = trusting(server.url)
        waiting = asyncio.create_task(authority.client(f"Bearer {a_token(a_key())}"))
        while not server.asked:
            await asyncio.sleep(0.001)
        await authority.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_an_authority_tells_whose_keys_cannot_be_read(tmp_path: Path) -> None:
    authority = trusting(str(tmp_path / "none.json"))
    (trouble,) = await authority.troubles()
    assert NAME in trouble
    assert "none.json: it cannot be read: No such file" in trouble

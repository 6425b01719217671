"""What a client presents: a token, a user, or a JWT that it signs and keeps until shortly before it ends."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from snk.errors import SettingsError
from snk.http.auth.authority import Authority
from snk.http.auth.credentials import AuthTable, Credentials
from snk.http.auth.settings import AuthSettings
from snk.settings import SettingsTable, read_table
from tests.kit.issuers import a_key, jwks, replaced

SECRET = "do-not-show-this"


class Holder(SettingsTable):
    """A table with the one under test in it."""

    auth: AuthTable = AuthTable()


def read(folder: Path, text: str) -> AuthTable:
    file = folder / "snk.toml"
    file.write_text(f"[t.auth]\n{text}")
    return read_table("t", Holder, file).auth


def signing(file: Path, **changed: Any) -> AuthTable:
    given = {"jwt_key": str(file), "issuer": "i", "audience": "snk-serve", "scope": "a:read  b:write", "subject": "me"}
    return AuthTable.model_validate({**given, **changed})


def parts(header: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    assert header
    head, body, _ = header.removeprefix("Bearer ").split(".")
    found = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, body)]
    return found[0], found[1]


def test_nothing_is_sent_where_nothing_is_set() -> None:
    assert Credentials(AuthTable()).header() is None


def test_a_token_is_sent_as_it_is(tmp_path: Path) -> None:
    assert Credentials(read(tmp_path, f'bearer = "{SECRET}"')).header() == f"Bearer {SECRET}"


def test_user_and_password_are_sent_in_base64(tmp_path: Path) -> None:
    header = Credentials(read(tmp_path, 'user = "änn"\npassword = "p:w"')).header()
    assert header
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == "änn:p:w"


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519"])
@pytest.mark.parametrize("form", ["jwk", "pem"])
async def test_a_service_accepts_what_is_signed(tmp_path: Path, algorithm: str, form: str) -> None:
    key, file, public = a_key(algorithm, "mine"), tmp_path / "key", tmp_path / "jwks.json"
    file.write_bytes(json.dumps(key.as_dict(private=True)).encode() if form == "jwk" else key.as_pem(private=True))
    public.write_text(jwks(key))
    issuer = {"issuer": "i", "algorithm": algorithm, "jwks": str(public)}
    authority = Authority(AuthSettings.model_validate({"issuers": [issuer]}))
    header = Credentials(signing(file, algorithm=algorithm)).header()
    assert parts(header)[0].get("kid") == ("mine" if form == "jwk" else None)
    client = await authority.client(header)
    assert (client.name, client.scopes) == ("i/me", frozenset({"a:read", "b:write"}))


async def test_a_service_accepts_what_is_signed_with_a_shared_secret(tmp_path: Path) -> None:
    secret = "s" * 32
    file = tmp_path / "key"
    file.write_text(json.dumps(OctKey.import_key(secret).as_dict(private=True)))
    issuer = {"issuer": "i", "algorithm": "HS256", "secret": secret}
    authority = Authority(AuthSettings.model_validate({"issuers": [issuer]}))
    client = await authority.client(Credentials(signing(file, algorithm="HS256")).header())
    assert client.name == "i/me"


def test_a_jwt_is_kept_until_shortly_before_it_ends(tmp_path: Path) -> None:
    file, now = tmp_path / "key", [1000.5]
    file.write_bytes(a_key().as_pem(private=True))
    credentials = Credentials(signing(file), lambda: now[0])
    first = credentials.header()
    claims = parts(first)[1]
    assert {name: claims[name] for name in ("iss", "aud", "sub", "scope", "iat", "exp")} == {
        "iss": "i",
        "aud": "snk-serve",
        "sub": "me",
        "scope": "a:read b:write",
        "iat": 1000,
        "exp": 1300,
    }
    now[0] += 239
    assert credentials.header() == first
    now[0] += 1
    second = credentials.header()
    assert parts(second)[1]["exp"] == 1540
    now[0] -= 100
    assert parts(credentials.header())[1]["exp"] == 1440, "the clock was set back"


def test_a_replaced_key_is_used_and_a_missing_one_is_not_missed(tmp_path: Path) -> None:
    file, now = tmp_path / "key.json", [1000.0]
    credentials = Credentials(signing(file), lambda: now[0])
    for kid in ("one", "two"):
        replaced(file, json.dumps(a_key("ES256", kid).as_dict(private=True)))
        now[0] += 240
        assert parts(credentials.header())[0]["kid"] == kid
    for spoil in (lambda: file.write_text("{"), file.unlink):
        spoil()
        now[0] += 240
        head, body = parts(credentials.header())
        assert (head["kid"], body["iat"]) == ("two", int(now[0]))


def test_a_key_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    key, file = a_key(), tmp_path / "key"
    with pytest.raises(SettingsError, match="which cannot be read: No such file"):
        Credentials(signing(file)).header()
    short = OctKey.import_key("s" * 31).as_dict(private=True)
    whole: dict[str, Any] = dict(key.as_dict(private=True))
    for content, algorithm in (
        (b"", "ES256"),
        (b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n", "ES256"),
        (b"{", "ES256"),
        (b'{"kty": "EC"}', "ES256"),
        (json.dumps({**whole, "d": "AA"}).encode(), "ES256"),
        (a_key("Ed25519").as_pem(private=True), "ES256"),
        (ECKey.generate_key("P-384").as_pem(private=True), "ES256"),
        (RSAKey.generate_key(2048).as_pem(private=True), "ES256"),
        (OKPKey.generate_key("X25519").as_pem(private=True), "Ed25519"),
        (key.as_pem(private=False), "ES256"),
        (json.dumps(key.as_dict(private=False)).encode(), "ES256"),
        (key.as_pem(private=False), "HS256"),
        (json.dumps(short).encode(), "HS256"),
        (json.dumps(whole).encode(), "HS256"),
        (key.as_pem(private=True, password="pw"), "ES256"),
    ):
        file.write_bytes(content)
        with pytest.raises(SettingsError, match=r"jwt_key is .*which holds (no key for|a public key)") as found:
            Credentials(signing(file, algorithm=algorithm)).header()
        assert "P-256" in str(found.value) or "Ed25519" in str(found.value) or "oct" in str(found.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            f'bearer = "{SECRET}"\nuser = "u"\npassword = "{SECRET}"',
            "t.auth: it has bearer as well as user and password",
        ),
        (f'bearer = "{SECRET}"\njwt_key = "k"', "it has bearer as well as jwt_key; give one of them"),
        ('user = "u"', "t.auth: give both user and password"),
        (f'password = "{SECRET}"', "t.auth: give both user and password"),
        (f'user = "a:b"\npassword = "{SECRET}"', "its user is 'a:b'"),
        ('bearer = ""', "its bearer is empty"),
        (f'bearer = "{SECRET} x"', "its bearer is empty, or has characters"),
        ('bearer = "env:SNK_NOT_SET"', "t.auth.bearer: the environment has no variable"),
        ("bearer = 5", "t.auth.bearer: input should be a valid string"),
        ('jwt_key = "k"', "it has jwt_key, but no issuer and no audience"),
        ('issuer = "i"\nscope = "a"', "it has issuer, scope, but no jwt_key"),
        ('jwt_key = "k"\nissuer = "i"\naudience = "a"\nsubject = ""', "its subject is empty"),
        ('jwt_key = "k"\nissuer = "i"\naudience = "a"\nscope = "a \\"b"', "its scope has '\"b'"),
        ('jwt_key = "k"\nissuer = "i"\naudience = "a"\nalgorithm = "none"', "t.auth.algorithm is 'none'"),
        (f'baerer = "{SECRET}"', "no setting t.auth.baerer; the nearest one is t.auth.bearer"),
    ],
)
def test_wrong_settings_are_named_without_secrets(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(SettingsError) as found:
        read(tmp_path, text)
    assert error in str(found.value)
    assert SECRET not in str(found.value)


def test_the_clock_is_that_of_the_machine(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(a_key().as_pem(private=True))
    before = int(time.time())
    assert before <= parts(Credentials(signing(file)).header())[1]["iat"] <= time.time()

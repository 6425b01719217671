"""The table [serve.auth]: each wrong setting is named, with what is right, and no secret is shown."""

from pathlib import Path

import pytest

from snk.errors import SettingsError
from snk.http.auth.settings import AuthSettings
from snk.settings import SettingsTable, read_table
from tests.kit.issuers import a_key

SECRET = "do-not-show-this-secret-to-anyone-at-all"
TOKEN = f'[[t.auth.tokens]]\nname = "a"\ntoken = "{SECRET}"\nscopes = ["*"]\n'
ISSUER = '[[t.auth.issuers]]\nissuer = "i"\n'


class Holder(SettingsTable):
    """A table with the one under test in it."""

    auth: AuthSettings = AuthSettings()


def read(folder: Path, text: str) -> AuthSettings:
    file = folder / "snk.toml"
    file.write_text(f"[t]\n{text}")
    return read_table("t", Holder, file).auth


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            f'[[t.auth.tokens]]\nname = "a"\ntokn = "{SECRET}"\nscopes = []',
            "no setting t.auth.tokens[0].tokn; the nearest",
        ),
        (f'[[t.auth.tokens]]\nname = "a"\ntoken = "{SECRET}"', "t.auth.tokens[0].scopes is missing"),
        (f'[[t.auth.tokens]]\nname = "a"\ntoken = "{SECRET}"\nscopes = []', "t.auth.tokens[0].scopes is []"),
        (f'[[t.auth.tokens]]\nname = "a"\ntoken = "{SECRET}"\nscopes = ["a b"]', "t.auth.tokens[0].scopes is 'a b'"),
        (f'[[t.auth.tokens]]\nname = 5\ntoken = "{SECRET}"\nscopes = ["a"]', "t.auth.tokens[0].name is 5"),
        (f'[t.auth]\ntokens = ["{SECRET}"]', "t.auth.tokens[0]: write it as a table"),
        (f'[t.auth]\ntokens = "{SECRET}"', "t.auth.tokens: write a list"),
        (
            '[[t.auth.tokens]]\nname = "a"\ntoken = "short"\nscopes = ["a"]',
            "t.auth.tokens[0]: its token has 5 characters",
        ),
        (TOKEN + TOKEN, "its tokens have 'a' twice"),
        (TOKEN + TOKEN.replace('"a"', '"b"'), "two of its tokens are the same"),
        ('[[t.auth.users]]\nuser = "a:b"\npassword = "12345678"\nscopes = ["a"]', "t.auth.users[0].user is 'a:b'"),
        ('[[t.auth.users]]\nuser = "a"\npassword = "1234567"\nscopes = ["a"]', "t.auth.users[0]: its password has 7"),
        (ISSUER + 'algorithm = "RS256"\njwks = "a"', "t.auth.issuers[0].algorithm is 'RS256'"),
        (ISSUER + 'algorithm = "none"\njwks = "a"', "t.auth.issuers[0].algorithm is 'none'"),
        (ISSUER + 'algorithm = "ES256"', "t.auth.issuers[0]: the algorithm ES256 needs jwks"),
        (ISSUER + f'algorithm = "ES256"\njwks = "a"\nsecret = "{SECRET}"', "ES256 needs jwks"),
        (ISSUER + f'algorithm = "HS256"\njwks = "a"\nsecret = "{SECRET}"', "HS256 needs a secret, and no jwks"),
        (ISSUER + 'algorithm = "HS256"\njwks = "a"', "HS256 needs a secret, and no jwks"),
        (ISSUER + 'algorithm = "HS256"\nsecret = "0123456789012345678901234567890"', "its secret has 31 bytes"),
        (ISSUER + 'algorithm = "ES256"\njwks = "ftp://a/b"', "t.auth.issuers[0].jwks is 'ftp://a/b': write a path"),
        (ISSUER + 'algorithm = "ES256"\njwks = "https:///b"', "t.auth.issuers[0].jwks is 'https:///b'"),
        (ISSUER + 'algorithm = "ES256"\njwks = "http://a:b/c"', "t.auth.issuers[0].jwks is 'http://a:b/c'"),
        (ISSUER + 'algorithm = "ES256"\njwks = "http://u@a/c"', "without a user"),
        ('[[t.auth.issuers]]\nissuer = "a b"\nalgorithm = "ES256"\njwks = "a"', "t.auth.issuers[0].issuer is 'a b'"),
        ((ISSUER + 'algorithm = "ES256"\njwks = "a"\n') * 2, "its issuers have 'i' twice"),
        (f'[t.auth]\nkeys = "k"\nissuer = "i"\n{ISSUER}algorithm = "ES256"\njwks = "a"', "its issuers have 'i' twice"),
        ("[t.auth]\naudience = 'a\"b'", "t.auth.audience is 'a\"b'"),
        ('[t.auth]\nalgorithm = "HS256"', "t.auth.algorithm is 'HS256'"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(SettingsError) as found:
        read(tmp_path, text)
    assert error in str(found.value)
    assert SECRET not in str(found.value)


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519"])
def test_a_public_key_is_no_shared_secret(tmp_path: Path, algorithm: str) -> None:
    """Everyone has it, so everyone could sign."""
    pem = tmp_path / "public.pem"
    pem.write_bytes(a_key(algorithm).as_pem(private=False))
    with pytest.raises(SettingsError, match="its secret is a PEM file"):
        read(tmp_path, f'{ISSUER}algorithm = "HS256"\nsecret = "file:{pem}"')


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        f'[[t.auth.users]]\nuser = "a"\npassword = "{SECRET}"\nscopes = ["*"]',
        ISSUER + 'algorithm = "ES256"\njwks = "https://issuer.example/jwks.json?v=1"',
        ISSUER + f'algorithm = "HS256"\nsecret = "{SECRET}"\nscopes = ["records:read"]',
        '[t.auth]\nkeys = "/etc/snk/keys"',
    ],
)
def test_anyone_who_is_configured_closes_the_service(tmp_path: Path, text: str) -> None:
    settings = read(tmp_path, text)
    assert settings.closed
    assert SECRET not in repr(settings)


def test_without_anyone_the_service_is_open(tmp_path: Path) -> None:
    assert not read(tmp_path, '[t.auth]\naudience = "a"\nissuer = "b"').closed

"""The service's own keys: made, rotated, listed, and used while the service runs."""

import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snk.errors import SettingsError
from snk.http.auth.authority import Authority, Unknown
from snk.http.auth.credentials import AuthTable, Credentials
from snk.http.auth.keys import OUTLIVES_SECONDS, KeyFolder
from snk.http.auth.settings import AuthSettings
from snk.http.commands.token import Wanted, minted


def kids(folder: Path) -> list[str]:
    return [each["kid"] for each in json.loads((folder / "jwks.json").read_text())["keys"]]


def auth(folder: Path, algorithm: str = "ES256") -> AuthSettings:
    return AuthSettings.model_validate({"keys": str(folder), "algorithm": algorithm})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new" / "keys"


def test_only_their_owner_can_read_the_keys(folder: Path) -> None:
    KeyFolder(folder, "ES256", "serve").rotate(1000)
    KeyFolder(folder, "ES256", "serve").rotate(1001)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "jwks.json": 0o600,
        "signing.json": 0o600,
    }


def test_published_keys_are_public(folder: Path) -> None:
    for algorithm in ("ES256", "Ed25519"):
        KeyFolder(folder, algorithm, "serve").rotate(1000)
    assert '"d"' in (folder / "signing.json").read_text()
    assert '"d"' not in (folder / "jwks.json").read_text()


def test_old_keys_are_kept_as_long_as_tokens_of_theirs_live(folder: Path) -> None:
    keys = KeyFolder(folder, "ES256", "serve")
    first = keys.rotate(1000)
    second = keys.rotate(2000)
    third = keys.rotate(2000 + OUTLIVES_SECONDS - 1)
    assert kids(folder) == [third, second, first]
    fourth = keys.rotate(2000 + OUTLIVES_SECONDS)
    assert kids(folder) == [fourth, third, second]
    fifth = keys.rotate(90_000)
    assert kids(folder) == [fifth, fourth], "the one before is always kept"
    assert [(each.kid, each.signs, each.ends) for each in keys.listed()] == [
        (fifth, True, None),
        (fourth, False, 90_000 + OUTLIVES_SECONDS),
    ]


def test_a_crash_between_publishing_and_signing_leaves_the_old_key_in_use(folder: Path) -> None:
    keys = KeyFolder(folder, "ES256", "serve")
    old = keys.rotate(1000)
    before = (folder / "signing.json").read_bytes()
    lost = keys.rotate(2000)
    (folder / "signing.json").write_bytes(before)  # as if the second write had not happened
    assert keys.signing().kid == old
    assert [each.signs for each in keys.listed()] == [False, True]
    new = keys.rotate(3000)
    assert kids(folder) == [new, old]
    assert lost not in kids(folder)


def test_rotations_at_once_lose_no_key(folder: Path) -> None:
    keys = KeyFolder(folder, "Ed25519", "serve")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: KeyFolder(folder, "Ed25519", "serve").rotate(1000), range(24)))
    assert set(kids(folder)) == set(made)
    assert keys.signing().kid == kids(folder)[0]


async def test_tokens_are_accepted_before_and_after_rotations_without_a_restart(folder: Path) -> None:
    settings, keys = auth(folder), KeyFolder(folder, "ES256", "serve")
    authority = Authority(settings)
    keys.rotate(time.time())
    tokens = []
    for _ in range(10):
        tokens.append(minted("serve", settings, Wanted(["records:read"], "me", 300), time.time()))
        keys.rotate(time.time())
        for token in tokens:
            client = await authority.client(f"Bearer {token}")
            assert (client.name, client.scopes) == ("snk-serve/me", frozenset({"records:read"}))


async def test_a_client_with_the_signing_key_follows_rotations(folder: Path) -> None:
    now = [time.time()]
    authority = Authority(auth(folder), lambda: now[0])
    table = AuthTable(jwt_key=str(folder / "signing.json"), issuer="snk-serve", audience="snk-serve", scope="a:read")
    credentials = Credentials(table, lambda: now[0])
    seen = set()
    for _ in range(6):
        KeyFolder(folder, "ES256", "serve").rotate(now[0])
        assert (await authority.client(credentials.header())).scopes == {"a:read"}
        seen.add(credentials.header())
        now[0] += 250
    assert len(seen) == 6


async def test_without_keys_every_token_is_refused_until_there_are_some(folder: Path, tmp_path: Path) -> None:
    authority = Authority(auth(folder))
    KeyFolder(tmp_path / "other", "ES256", "serve").rotate(time.time())
    stranger = minted("serve", auth(tmp_path / "other"), Wanted(["*"], "me", 300), time.time())
    with pytest.raises(Unknown, match="cannot be read at present"):
        await authority.client(f"Bearer {stranger}")
    assert await authority.troubles()
    KeyFolder(folder, "ES256", "serve").rotate(time.time())
    assert not await authority.troubles()
    with pytest.raises(Unknown, match="its key is not known"):
        await authority.client(f"Bearer {stranger}")
    token = minted("serve", auth(folder), Wanted(["*"], "me", 300), time.time())
    await authority.client(f"Bearer {token}")


def test_a_folder_that_others_may_enter_is_refused(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o750)
    with pytest.raises(SettingsError, match="chmod 700"):
        KeyFolder(folder, "ES256", "serve").rotate(1000)
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"serve.auth.keys is .*file/keys': Not a directory"):
        KeyFolder(tmp_path / "file" / "keys", "ES256", "serve").rotate(1000)


@pytest.mark.parametrize("name", ["jwks.json", "signing.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"keys": 5}', '{"keys": [{"kid": "a"}]}', '{"kid": 5}'])
def test_files_that_are_damaged_are_named_and_left_alone(folder: Path, name: str, text: str) -> None:
    keys = KeyFolder(folder, "ES256", "serve")
    keys.rotate(1000)
    (folder / name).write_text(text)
    for call in (keys.listed, lambda: keys.rotate(2000)):
        with pytest.raises(SettingsError, match=f"{name}' was not written by"):
            call()
    assert (folder / name).read_text() == text


def test_no_signing_key_is_an_error_with_a_remedy(folder: Path) -> None:
    assert KeyFolder(folder, "ES256", "serve").listed() == []
    with pytest.raises(SettingsError, match=r"holds no signing key\. Create one with `snk serve keys rotate`"):
        KeyFolder(folder, "ES256", "serve").signing()


def test_another_algorithm_needs_a_rotation(folder: Path) -> None:
    KeyFolder(folder, "ES256", "serve").rotate(1000)
    with pytest.raises(SettingsError, match="holds no key for Ed25519"):
        KeyFolder(folder, "Ed25519", "serve").signing()
    KeyFolder(folder, "Ed25519", "serve").rotate(1001)
    assert KeyFolder(folder, "Ed25519", "serve").signing().algorithm == "Ed25519"


@pytest.mark.parametrize(
    ("scopes", "subject", "seconds", "error"),
    [
        (["a b"], "me", 300, "--scope is 'a b'"),
        ([""], "me", 300, "--scope is ''"),
        (["a"], "", 300, "--subject is ''"),
        (["a"], "m\ne", 300, "--subject is"),
        (["a"], "m" * 256, 300, "Use 1 to 255 printable"),
        (["a"], "me", 301, "--seconds is 301. A token is valid for 1 to 300 seconds"),
        (["a"], "me", 0, "--seconds is 0"),
    ],
)
def test_tokens_that_the_service_would_refuse_are_not_made(
    folder: Path, scopes: list[str], subject: str, seconds: int, error: str
) -> None:
    KeyFolder(folder, "ES256", "serve").rotate(1000)
    with pytest.raises(SettingsError, match=error):
        minted("serve", auth(folder), Wanted(scopes, subject, seconds), 1000)


def test_without_a_folder_no_token_can_be_made() -> None:
    with pytest.raises(SettingsError, match=r"serve\.auth\.keys is not set"):
        minted("serve", AuthSettings(), Wanted(["a"], "me", 300), 1000)

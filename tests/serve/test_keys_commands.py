"""`snk serve keys` and `snk serve token`, as processes."""

import json
from pathlib import Path

import pytest

from snk.http.auth.authority import Authority
from snk.serve.settings import load_settings
from tests.kit.commands import run_command

SETTINGS = """
[serve]
database = "postgresql://nobody:secret@127.0.0.1:1/none"
[serve.datasets.records]
table = "public.records"
key = "uid"
[serve.auth]
"""


class World:
    """A file of settings, and the commands with it."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "snk.toml"
        self.config.write_text(f'{SETTINGS}keys = "{folder / "keys"}"\nalgorithm = "Ed25519"\n')

    def __call__(self, *words: str, exits: int = 0) -> str:
        done = run_command("serve", *words, "--config", str(self.config))
        assert done.returncode == exits, done.stderr
        return (done.stdout + done.stderr).strip()


@pytest.fixture
def snk(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.long
async def test_a_printed_token_is_accepted_after_rotations(snk: World) -> None:
    assert snk("keys", "list", exits=1) == "no keys; `snk serve keys rotate` makes one"
    first = json.loads(snk("keys", "rotate", "--json"))["kid"]
    token = snk("token", "--scope", "records:read", "--scope", "records:write", "--subject", "job", "--seconds", "100")
    said = snk("keys", "rotate")
    second = said.removeprefix("new tokens are signed with ")
    assert first != second
    authority = Authority(load_settings(snk.config).auth)
    client = await authority.client(f"Bearer {token}")
    assert (client.name, client.scopes) == ("snk-serve/job", frozenset({"records:read", "records:write"}))
    listed = json.loads(snk("keys", "list", "--json"))
    assert [(each["kid"], each["signs"]) for each in listed] == [(second, True), (first, False)]
    lines = snk("keys", "list").splitlines()
    assert lines[0].startswith(f"{second}  Ed25519  made ")
    assert lines[0].endswith("  signs")
    assert "its last token ends at" in lines[1]


@pytest.mark.long
def test_what_is_wrong_is_said_with_exit_code_2(snk: World) -> None:
    assert "Create one with `snk serve keys rotate`" in snk("token", "--scope", "records:read", exits=2)
    told = snk("token", "--scope", "records:raed", exits=2)
    assert "--scope is 'records:raed': there is no such scope; the nearest one is records:read; there are" in told
    assert "--scope" in snk("token", exits=2)
    snk.config.write_text(SETTINGS)
    for words in (["keys", "rotate"], ["keys", "list"], ["token", "--scope", "records:read"]):
        assert "serve.auth.keys is not set" in snk(*words, exits=2)

"""Scopes: one that opens nothing is refused where it is written, and not only when somebody is turned away."""

from pathlib import Path

import pytest

from snk.batch.settings import load_settings
from snk.errors import SettingsError
from tests.kit.commands import run_command

SETTINGS = """
[{table}]
database = "postgresql://u@h/d"
[{table}.auth]
keys = "{keys}"
"""
TABLES = {"batch": ["batch"], "consumer": ["batch", "consumer"]}


@pytest.mark.parametrize(
    ("table", "wrong", "right", "listed"),
    [
        ("batch", "runs:raed", "runs:read", "messages:write, runs:read, runs:operate, runs:report, runs:report:TASK"),
        ("batch", "runs:report:", "runs:report", "status:read, *"),
        ("consumer", "runs:worc", "runs:work", "runs:work, status:read, *"),
    ],
)
def test_no_token_is_made_with_a_scope_that_opens_nothing(
    tmp_path: Path, table: str, wrong: str, right: str, listed: str
) -> None:
    config = tmp_path / "snk.toml"
    config.write_text(SETTINGS.format(table=table, keys=tmp_path / "keys"))
    words = TABLES[table]
    assert run_command(*words, "keys", "rotate", "--config", str(config)).returncode == 0
    refused = run_command(*words, "token", "--scope", wrong, "--config", str(config))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"--scope is '{wrong}': there is no such scope; the nearest one is {right}; there are " in refused.stderr
    assert listed in refused.stderr
    assert run_command(*words, "token", "--scope", right, "--scope", "*", "--config", str(config)).returncode == 0


TOKEN = '[[batch.auth.tokens]]\nname = "a"\ntoken = "geheim-geheim-geheim"\n'
USER = '[[batch.auth.users]]\nuser = "a"\npassword = "geheim-geheim-geheim"\n'
ISSUER = '[[batch.auth.issuers]]\nissuer = "a"\nalgorithm = "ES256"\njwks = "/keys"\n'


@pytest.mark.parametrize("client", [TOKEN, USER, ISSUER])
def test_settings_name_scopes_that_there_are(tmp_path: Path, client: str) -> None:
    file = tmp_path / "snk.toml"
    table = '[batch]\ndatabase = "postgresql://u@h/d"\n'
    file.write_text(f'{table}{client}scopes = ["runs:report:prices", "runs:reed"]\n')
    with pytest.raises(
        SettingsError, match="'runs:reed': there is no such scope; the nearest one is runs:read"
    ) as raised:
        load_settings(file)
    assert "geheim" not in str(raised.value)
    file.write_text(f'{table}{client}scopes = ["runs:report:prices", "*"]\n')
    assert load_settings(file).auth.closed


def test_the_nearest_table_is_named(tmp_path: Path) -> None:
    file = tmp_path / "snk.toml"
    file.write_text('[bach]\ndatabase = "postgresql://u@h/d"\n[serve]\n')
    with pytest.raises(SettingsError, match=r"has no table \[batch\]; the nearest one is \[bach\]"):
        load_settings(file)
    file.write_text("[serve]\n")
    with pytest.raises(SettingsError, match=r"has no table \[batch\]\. See docs/batch.md"):
        load_settings(file)

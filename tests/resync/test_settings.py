"""The file of settings: what is wrong is named, with the nearest right name, and never with a secret."""

from pathlib import Path

import pytest

from snk.errors import SettingsError
from snk.resync.settings import load_settings

LEAST = '[resync]\ndatabase = "postgresql://user:s3cret@host:5432/db"\nredis = "redis://:s3cret@host:6379/0"\n'


def load(folder: Path, text: str) -> object:
    """The settings of a file that holds this."""
    file = folder / "snk.toml"
    file.write_text(text)
    return load_settings(file)


def test_the_least_configuration_has_the_originals_names(tmp_path: Path) -> None:
    settings = load_settings(_file(tmp_path, LEAST))
    assert settings.row.table == "tb_prj_data"
    assert settings.keys_of(7).of_source(3) == "maic_7_3"
    assert (settings.key_prefix, settings.in_process, settings.row.unassigned) == ("", (), -1)


def _file(folder: Path, text: str) -> Path:
    file = folder / "snk.toml"
    file.write_text(text)
    return file


def test_names_may_be_others(tmp_path: Path) -> None:
    more = 'key_prefix = "app:"\n[resync.row]\ntable = "work.items"\n[resync.keys]\nsource = "c:{source}:of:{task}"\n'
    settings = load_settings(_file(tmp_path, LEAST + more))
    assert settings.row.table == "work.items"
    assert settings.keys_of(7).of_source(3) == "app:c:3:of:7"
    found = settings.parsers["source"].fullmatch("app:c:3:of:7")
    assert found
    assert (found["task"], found["number"]) == ("7", "3")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", r"no table \[resync\]"),
        ("[resync", "not valid TOML"),
        ("[resync]\n", "resync.database is missing; resync.redis is missing"),
        (LEAST + 'key_prefx = "a"\n', "no setting resync.key_prefx; the nearest one is resync.key_prefix"),
        (LEAST + '[resync.row]\nsorce = "a"\n', "no setting resync.row.sorce; the nearest one is resync.row.source"),
        (LEAST + "grace_seconds = -1\n", "resync.grace_seconds is -1: input should be greater than or equal to 0"),
        (LEAST + 'in_process = "OPEN"\n', "resync.in_process is 'OPEN'"),
        (
            LEAST + '[resync.keys]\nsource = "maic_{task}"\n',
            "resync.keys.source is 'maic_{task}'. It must hold {source}",
        ),
        (LEAST + '[resync.row]\ntable = "a.b.c"\n', "resync.row.table is 'a.b.c'"),
        (LEAST.replace("redis://", "http://"), "resync.redis has the scheme 'http'"),
        (LEAST.replace("postgresql://", "mysql://"), "resync.database has the scheme 'mysql'"),
        (LEAST.replace('"redis://:s3cret@host:6379/0"', '"env:NO_SUCH"'), "no variable 'NO_SUCH'"),
        (LEAST.replace('"redis://:s3cret@host:6379/0"', '"file:/no/such"'), "'/no/such' cannot be read"),
        (LEAST.replace('"redis://:s3cret@host:6379/0"', "7"), "resync.redis: "),
        (LEAST + '[resync.http]\ntoken = "short"\n', "resync.http.token has 5 characters"),
        (
            LEAST + '[resync.http]\nview_token = "long-enough-to-be-one"\n',
            "view_token is set without resync.http.token",
        ),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as raised:
        load(tmp_path, text)
    assert "s3cret" not in str(raised.value)
    assert "short" not in str(raised.value)


def test_secrets_come_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_DATABASE", "postgresql://host/db")
    (tmp_path / "redis").write_text("rediss://host:6380/1\n")
    monkeypatch.setenv("THE_TOKEN", "a-token-of-enough-letters")
    text = f'[resync]\ndatabase = "env:THE_DATABASE"\nredis = "file:{tmp_path}/redis"\n'
    text += '[resync.http]\ntoken = "env:THE_TOKEN"\n'
    settings = load_settings(_file(tmp_path, text))
    assert (settings.database_dsn, settings.redis_dsn) == ("postgresql://host/db", "rediss://host:6380/1")
    assert settings.http.token
    assert settings.http.token.get_secret_value() == "a-token-of-enough-letters"
    assert "host/" not in repr(settings)


def test_the_environment_names_the_file_and_the_command_line_takes_precedence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNK_CONFIG", str(_file(tmp_path, LEAST)))
    assert load_settings().grace_seconds == 2
    other = tmp_path / "other.toml"
    other.write_text(LEAST + "grace_seconds = 5\n")
    assert load_settings(other).grace_seconds == 5


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no readable file .*nowhere.toml.*SNK_CONFIG"):
        load_settings(tmp_path / "nowhere.toml")


def test_tables_of_other_systems_are_left_to_them(tmp_path: Path) -> None:
    load(tmp_path, LEAST + "[handoff]\nanything = 1\n")

"""TST's settings: the shared names, their order of precedence, and errors that give nothing away."""

from pathlib import Path

import pytest

from tst.errors import Stop
from tst.settings import Settings, address, load_settings

NAMES = [name.upper() for name in Settings.model_fields]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def written(folder: Path, *lines: str) -> Path:
    file = folder / ".env"
    file.write_text("\n".join(lines))
    return file


def test_defaults_are_those_of_the_compose_file(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "missing")
    assert settings.first_dsn == "postgresql://postgres:postgres@first_db:5432/postgres"
    assert settings.second_dsn == "postgresql://postgres:postgres@second_db:5432/postgres"


def test_parts_come_from_the_file_and_are_escaped(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "POSTGRES_DB=a/b",
        "POSTGRES_USER=me@home",
        "POSTGRES_PASSWORD=p:w@rd",
        "FIRST_DB_HOST=::1",
        "SECOND_DB_HOST=db",
        "DB_PORT=1",
        "SECOND_DB_PORT=2",
        "SNK_WHATEVER=not our business",
    )
    settings = load_settings(file)
    assert settings.first_dsn == "postgresql://me%40home:p%3Aw%40rd@[::1]:1/a%2Fb"
    assert settings.second_dsn == "postgresql://me%40home:p%3Aw%40rd@db:2/a%2Fb"


def test_environment_wins_over_file_and_url_over_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, "FIRST_DB_URL=postgresql://file/x", "SECOND_DB_URL=postgres://h/y?sslmode=require")
    monkeypatch.setenv("FIRST_DB_URL", "postgresql://environment/x")
    monkeypatch.setenv("SECOND_DB_HOST", "ignored")
    settings = load_settings(file)
    assert settings.first_dsn == "postgresql://environment/x"
    assert settings.second_dsn == "postgres://h/y?sslmode=require"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("DB_PORT=often", "DB_PORT is 'often'"),
        ("FIRST_DB_PORT=70000", "FIRST_DB_PORT is '70000'"),
        (
            "FIRST_DB_URL=mysql://me:geheim@h/x",
            "FIRST_DB_URL has the scheme 'mysql': use postgresql://",
        ),
        ("FIRST_DB_URL=postgresql://me:1/geheim@h/x", "FIRST_DB_URL cannot be read as a URL"),
        ("FIRST_DB_URL='postgresql://me:1#geheim@h/x'", "FIRST_DB_URL cannot be read as a URL"),
        ("SECOND_DB_URL=postgresql://me:geheim@h:port/x", "SECOND_DB_URL cannot be read as a URL"),
        ("SECOND_DB_URL=h:geheim", "SECOND_DB_URL has the scheme 'h': use postgresql://"),
    ],
)
def test_wrong_setting_is_named_without_its_secret(tmp_path: Path, line: str, text: str) -> None:
    with pytest.raises(Stop) as caught:
        load_settings(written(tmp_path, line))
    assert text in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_several_hosts_are_left_to_the_driver(tmp_path: Path) -> None:
    url = "postgresql://me@h:1,i:2/x?target_session_attrs=read-write"
    settings = load_settings(written(tmp_path, f"FIRST_DB_URL={url}"))
    assert settings.first_dsn == url
    assert address(settings.first_dsn) == "h:1,i:2/x"


def test_passwords_do_not_show_when_settings_are_printed(tmp_path: Path) -> None:
    settings = load_settings(
        written(tmp_path, "POSTGRES_PASSWORD=geheim", "FIRST_DB_URL=postgresql://me:geheim@h/x", "FIRST_DB_HOST=h")
    )
    assert "geheim" not in repr(settings)
    assert address(settings.first_dsn) == "h/x"

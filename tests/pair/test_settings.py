"""Settings come from the environment and .env; a wrong one is named, with its value, and what would be right."""

import re
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from snk.errors import SettingsError
from snk.pair.settings import Settings, load_settings

NONE = Path("there-is-no-such-file")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_the_committed_env_file_is_what_was_promised() -> None:
    promised = {
        "POSTGRES_DB": "postgres",
        "POSTGRES_USER": "postgres",
        "POSTGRES_PASSWORD": "postgres",
        "FIRST_DB_HOST": "first_db",
        "SECOND_DB_HOST": "second_db",
        "DB_PORT": "5432",
        "REDIS_HOST": "snk_redis",
        "REDIS_PORT": "6379",
    }
    assert dotenv_values(Path(__file__).parents[2] / ".env") == promised


def test_the_file_that_snk_env_file_names_is_read_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("FIRST_DB_HOST=from-the-folder\n")
    named = tmp_path / "secrets.env"
    named.write_text("FIRST_DB_HOST=from-the-named-file\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings().first_db_host == "from-the-folder"
    monkeypatch.setenv("SNK_ENV_FILE", str(named))
    assert load_settings().first_db_host == "from-the-named-file"
    named.unlink()
    with pytest.raises(SettingsError, match=r"SNK_ENV_FILE is '.*secrets.env', which cannot be read"):
        load_settings()


def test_docs_list_every_setting_and_its_default() -> None:
    told = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    listed = set(re.findall(r"`((?:SNK|FIRST|SECOND|DB|POSTGRES|REDIS)_[A-Z_]*[A-Z])`", told))
    assert listed == {name.upper() for name in Settings.model_fields} | {"SNK_ENV_FILE"}
    for name, field in Settings.model_fields.items():
        if name.startswith("snk_") and field.default is not None:
            default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
            assert re.search(rf"`{name.upper()}`.*`{re.escape(default)}`", told), name


def test_parts_make_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_DB_HOST", "db1")
    monkeypatch.setenv("SECOND_DB_HOST", "::1")
    monkeypatch.setenv("DB_PORT", "6000")
    monkeypatch.setenv("SECOND_DB_PORT", "6001")
    settings = load_settings(NONE)
    assert settings.first_dsn == "postgresql://postgres:postgres@db1:6000/postgres"
    assert settings.second_dsn == "postgresql://postgres:postgres@[::1]:6001/postgres"
    assert settings.redis_dsn == "redis://snk_redis:6379/0"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), st.text(min_size=1))
def test_any_password_survives_its_way_into_the_url(password: str, user: str) -> None:
    settings = Settings(postgres_password=password, postgres_user=user, _env_file=None)
    assert make_url(settings.first_dsn).password == password
    assert make_url(settings.first_dsn).username == user


def test_a_whole_url_wins_over_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_DB_HOST", "elsewhere")
    monkeypatch.setenv("FIRST_DB_URL", "postgresql://u:p@db:1/x?sslmode=require")
    monkeypatch.setenv("REDIS_URL", "rediss://cache:1/2")
    settings = load_settings(NONE)
    assert settings.first_dsn == "postgresql://u:p@db:1/x?sslmode=require"
    assert settings.redis_dsn == "rediss://cache:1/2"


@pytest.mark.parametrize(
    "url",
    [
        "u:s@c/ret@h/x",
        "u:sec@ret@h/x",
        "h/x?password=u@ret",
        "h/x?sec&ret",
        "u:s%40c/ret@h/x",
        "u:sec#ret@h/x",
        "u:secret@h:port/x",
        "u:secret@[::1/x",
        "u:sec?ret@h/x",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_being_quoted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, scheme in (("FIRST_DB_URL", "postgresql"), ("SECOND_DB_URL", "postgres"), ("REDIS_URL", "redis")):
        with monkeypatch.context() as patched:
            patched.setenv(name, f"{scheme}://{url}")
            with pytest.raises(SettingsError, match=f"{name} (is not a valid URL|has invalid parameters)") as raised:
                load_settings(NONE)
        assert "ret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["postgresql://u:p@h1:1,h2:2/x?sslmode=require", "postgresql://[::1]/x", "postgresql:///x"]
)
def test_urls_as_libpq_knows_them_are_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_DB_URL", url)
    assert load_settings(NONE).first_dsn == url


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("SNK_BATCH_ROWS=10\nSNK_TABLES=one\n")
    monkeypatch.setenv("SNK_BATCH_ROWS", "20")
    settings = load_settings(file)
    assert (settings.snk_batch_rows, settings.selection.exact) == (20, ("one",))


@pytest.mark.parametrize("where", ["environment", "file"])
def test_an_unknown_name_names_the_nearest_right_one(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("SNK_BATCHROWS=5\n" if where == "file" else "")
    if where == "environment":
        monkeypatch.setenv("SNK_BATCHROWS", "5")
    with pytest.raises(SettingsError, match=r"no setting SNK_BATCHROWS.*SNK_BATCH_ROWS"):
        load_settings(file)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DB_PORT", "http", "DB_PORT is 'http'"),
        ("DB_PORT", "70000", "DB_PORT is '70000'.*65535"),
        ("SNK_BATCH_ROWS", "0", "SNK_BATCH_ROWS is '0'.*greater than or equal to 1"),
        ("SNK_BATCH_BYTES", "0", "SNK_BATCH_BYTES is '0'.*greater than or equal to 1"),
        ("SNK_SWEEP_SHARE", "0", "SNK_SWEEP_SHARE is '0'.*greater than 0"),
        ("SNK_SWEEP_SHARE", "1.5", "SNK_SWEEP_SHARE is '1.5'.*less than or equal to 1"),
        ("SNK_SWEEP_SHARE", "nan", "SNK_SWEEP_SHARE is 'nan'"),
        ("SNK_SWEEP_SHARE", "20%", "SNK_SWEEP_SHARE is '20%'.*number"),
        ("SNK_LOG_FORMAT", "xml", "SNK_LOG_FORMAT is 'xml'.*'console' or 'json'"),
        ("SNK_TABLES", " , ", "SNK_TABLES.*at least one table"),
        ("SNK_TABLES", "!a, !b*", "SNK_TABLES is '!a, !b[*]': it only excludes.*Write it like"),
        ("SNK_TABLES", "a*.b.c", "SNK_TABLES is 'a[*].b.c'.*has 3 parts"),
        ("FIRST_DB_URL", "mysql://u:secret@h/d", "FIRST_DB_URL has the scheme 'mysql'.*postgresql://"),
        ("REDIS_URL", "http://h", "REDIS_URL has the scheme 'http'.*redis://"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=words) as caught:
        load_settings(NONE)
    assert "secret" not in str(caught.value)


def test_settings_of_other_systems_are_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNK_CONFIG", "snk.toml")
    load_settings(NONE)


def test_secrets_are_not_in_what_settings_show() -> None:
    shown = repr(Settings(postgres_password="hush", first_db_url="postgresql://u:hush@h/d", _env_file=None))
    assert "hush" not in shown


def test_tables_are_listed_once_in_their_order() -> None:
    assert Settings(snk_tables="b, a ,b,s.t", _env_file=None).selection.exact == ("b", "a", "s.t")


@pytest.mark.parametrize(
    "text", ["postgresql:/u:secret@h/x", "postgresql:u:secret@h/x", "u:secret@h/x", "secret", "//u:secret@h/x"]
)
def test_what_is_no_url_is_not_quoted(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_DB_URL", text)
    with pytest.raises(SettingsError, match="FIRST_DB_URL is not a valid URL") as raised:
        load_settings(NONE)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "url", "words"),
    [
        ("FIRST_DB_URL", "postgresql://h/x?sslmode=verify", "has the sslmode 'verify'.*verify-full"),
        ("SECOND_DB_URL", "postgresql://h/x?sslrootcert=/ca", "sslmode prefer ignores it"),
        ("REDIS_URL", "redis://h/0?ssl_ca_certs=/ca", "redis:// does not use TLS.*rediss://"),
        ("REDIS_URL", "rediss://h/0?ssl_cert_reqs=never", "REDIS_URL is not a valid URL|ssl_cert_reqs"),
        ("REDIS_URL", "redis://h/0?socket_timeout=long", "has an invalid socket_timeout"),
        ("REDIS_URL", "redis://h/0?colour=red", "has an invalid colour"),
        ("REDIS_URL", "redis://h:65536/0", "has an invalid port.*65535"),
        ("REDIS_URL", "redis://h/one", "has a database that is not a number"),
    ],
)
def test_parameters_of_urls_are_looked_at(name: str, url: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    monkeypatch.setenv(name, url)
    with pytest.raises(SettingsError, match=words):
        load_settings(NONE)


@pytest.mark.parametrize("name", ["FIRST_DB_PROT", "SECOND_DB_PASSWORD", "FIRST_DB_NAME"])
def test_a_mistyped_name_of_a_database_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=f"no setting {name}"):
        load_settings(NONE)


@pytest.mark.parametrize("name", ["FIRST_DB_SERVICE_HOST", "SNK_REDIS_PORT_6379_TCP_ADDR", "SNK_SERVICE_PORT_HTTP"])
def test_what_a_container_platform_adds_is_let_be(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    load_settings(NONE)


@pytest.mark.parametrize("host", ["u:secret@h", "h/x", "h?x", "a b", ""])
def test_a_host_is_a_host(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_HOST", host or "/")
    with pytest.raises(SettingsError, match="REDIS_HOST is not a host name") as raised:
        load_settings(NONE)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("token", "words"), [("short", "at least 16"), ("é" * 16, "an HTTP header cannot contain"), ("a b" * 9, "cannot")]
)
def test_a_token_is_long_and_can_be_sent(token: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNK_HTTP_TOKEN", token)
    with pytest.raises(SettingsError, match=words) as raised:
        load_settings(NONE)
    assert token not in str(raised.value)

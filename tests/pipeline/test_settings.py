"""Each wrong setting is named, with its value and what would be right; secrets are never shown."""

from pathlib import Path
from typing import Any

import pytest

from snk.errors import SettingsError
from snk.pipeline.mapping import Field
from snk.pipeline.settings import Pipeline, load_settings
from snk.pipeline.setup import asking_of, digest_url_of, pulling_of, sending_of, space_of

SECRET = "k3y-that-nobody-may-see"
Tables = dict[str, dict[str, str]]
LEAST: Tables = {
    "pipeline": {"base": "2026-11-25T00:00:00Z"},
    "pipeline.source": {"url": '"http://ss.example/records?from={start}&to={end}"'},
    "pipeline.sink": {"url": '"http://rs.example/records"'},
}


def load(folder: Path, *changes: tuple[str, str, str]) -> Pipeline:
    tables: Tables = {name: dict(values) for name, values in LEAST.items()}
    for table, name, value in changes:
        tables.setdefault(table, {})[name] = value
    text = "".join(
        f"[{table}]\n" + "".join(f"{name} = {value}\n" for name, value in values.items() if value)
        for table, values in tables.items()
    )
    (folder / "snk.toml").write_text(text)
    return load_settings(folder / "snk.toml")


def test_the_least_is_enough(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.base_seconds == 1_795_564_800
    assert (settings.frame_seconds, settings.delay_seconds, settings.lookback_minutes) == (60, 30.0, 60.0)
    assert space_of(settings).grid.iso(1) == "2026-11-25T00:01:00Z"
    assert pulling_of(settings).looking.lookback == 3600
    assert sending_of(settings).slots == 1
    assert not settings.mapper
    assert digest_url_of(settings) == ""


@pytest.mark.parametrize(
    ("table", "name", "value", "words"),
    [
        ("", "base", "", ["pipeline.base is missing"]),
        ("", "base", "2026-11-25T00:00:00", ["pipeline.base is 2026-11-25T00:00:00:", "with a zone"]),
        ("", "base", "2026-11-25T00:00:00.5Z", ["pipeline.base is 2026-11-25 00:00:00.5", "whole seconds"]),
        ("", "base", "1969-01-01T00:00:00Z", ["pipeline.base is 1969", "after 1970"]),
        ("", "base", '"soon"', ["pipeline.base is 'soon'"]),
        ("", "frame_seconds", "0", ["pipeline.frame_seconds is 0", "greater than or equal to 1"]),
        ("", "delay_seconds", "-1", ["pipeline.delay_seconds is -1", "greater than or equal to 0"]),
        ("", "delay_seconds", "nan", ["pipeline.delay_seconds is nan"]),
        ("", "delay", '"often"', ["pipeline.delay is 'often'", "'fixed' or 'auto'"]),
        ("", "lookback_minutes", "inf", ["pipeline.lookback_minutes is inf"]),
        ("", "lookback_minutes", "nan", ["pipeline.lookback_minutes is nan"]),
        ("", "order", '"random"', ["pipeline.order is 'random'", "'newest' or 'oldest'"]),
        ("", "oldest_share", "0", ["pipeline.oldest_share is 0", "0.01"]),
        ("", "quota_bytes", "-5", ["pipeline.quota_bytes is -5"]),
        ("", "port", "70000", ["pipeline.port is 70000", "65535"]),
        ("", "qouta_bytes", "5", ["there is no setting pipeline.qouta_bytes", "pipeline.quota_bytes"]),
        (".source", "url", "", ["pipeline.source.url is missing"]),
        (".source", "url", '"ftp://x/{start}{end}"', ["pipeline.source.url is 'ftp://x", "http://"]),
        (".source", "url", '"http://x/{start}"', ["pipeline.source.url is", "without {end}"]),
        (".source", "url", '"http://x/"', ["without {start} and {end}"]),
        (".source", "url", '"http://x/{start}{end}{frame}"', ["with {frame}", "Only {start} and {end}"]),
        (".source", "url", '"http://x/{start:d}{end}"', ["pipeline.source.url is", "without a format"]),
        (".source", "url", '"http://x/{start!r}{end}"', ["pipeline.source.url is", "without a format"]),
        (".source", "url", '"http://x/{start}{end"', ["pipeline.source.url is", "{{ and }}"]),
        (".source", "url", '"http:///{start}{end}"', ["pipeline.source.url is"]),
        (".source", "url", '"http://x:99999/{start}{end}"', ["pipeline.source.url is"]),
        (".source", "format", '"xml"', ["pipeline.source.format is 'xml'", "'json', 'jsonl' or 'csv'"]),
        (".source", "records", '"items["', ["pipeline.source.records is 'items['", "no JMESPath"]),
        (".source", "uid", '"a..b"', ["pipeline.source.uid is 'a..b'", "no JMESPath"]),
        (".source", "page", '"all"', ["pipeline.source.page is 'all'", "'cursor' or 'link'"]),
        (".source", "requests_per_second", "0", ["pipeline.source.requests_per_second is 0", "greater than 0"]),
        (".source", "requests_per_second", "nan", ["pipeline.source.requests_per_second is nan"]),
        (".source", "empty_statuses", "[99]", ["pipeline.source.empty_statuses", "99"]),
        (".source", "preset", '"serv"', ["pipeline.source.preset is 'serv'"]),
        (".sink", "url", '"rs.example"', ["pipeline.sink.url is 'rs.example'", "http://"]),
        (".sink", "url", '"http://x/{start}"', ["pipeline.sink.url is", "with {start}"]),
        (".sink", "method", '"GET"', ["pipeline.sink.method is 'GET'", "'POST'"]),
        (".sink", "in_flight", "0", ["pipeline.sink.in_flight is 0"]),
        (".sink", "batch", "-1", ["pipeline.sink.batch is -1"]),
        (".sink", "key_form", '"hex"', ["pipeline.sink.key_form is 'hex'", "'bare' or 'quoted'"]),
        (".sink", "outcomes", '{ "4x" = "done" }', ["pipeline.sink.outcomes", "4x"]),
        (".sink", "outcomes", '{ "404" = "fine" }', ["pipeline.sink.outcomes", "fine"]),
        (".sink", "retry_first_ms", "60000", ["pipeline.sink.retry_first_ms is 60000", "retry_most_ms"]),
        (".sink", "digest_url", '"http://x/{start}"', ["pipeline.sink.digest_url is", "without {end}"]),
        (".mapping", "price", '"a["', ["pipeline.mapping.price is 'a['", "no JMESPath"]),
        (".mapping", "price", "{}", ["pipeline.mapping.price has neither a path nor a constant", "JMESPath"]),
        (".mapping", "price", '{ path = "a", constant = 1 }', ["pipeline.mapping.price has a path and a constant"]),
        (".mapping", "price", '{ path = "a", cast = "float" }', ["pipeline.mapping", "'float'", "'number'"]),
        (".source.auth", "user", '"me"', ["pipeline.source.auth", "both user and password"]),
        (".sink.auth", "jwt_key", '"key.pem"', ["pipeline.sink.auth", "no issuer"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_right(
    tmp_path: Path, table: str, name: str, value: str, words: list[str]
) -> None:
    with pytest.raises(SettingsError) as error:
        load(tmp_path, (f"pipeline{table}", name, value))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        [("pipeline", "token", f'"{SECRET[:10]}"')],
        [("pipeline", "token", f'"{SECRET} with spaces"')],
        [("pipeline", "token", f'["{SECRET}"]')],
        [("pipeline", "view_token", f'"{SECRET}"')],
        [("pipeline.source.headers", "X-Key", f'["{SECRET}"]')],
        [("pipeline.source.auth", "bearer", f'"{SECRET} "')],
        [("pipeline.source.auth", "bearer", f'["{SECRET}"]')],
        [("pipeline.sink.auth", "password", f'"{SECRET}"')],
        [("pipeline.sink.auth", "bearer", f'"{SECRET}"'), ("pipeline.sink.auth", "jwt_key", '"k.pem"')],
        [("pipeline.sink.auth", "bearer", f'"{SECRET}"'), ("pipeline.sink.auth", "issuer", '"me"')],
    ],
)
def test_a_secret_is_never_shown(tmp_path: Path, changes: list[tuple[str, str, str]]) -> None:
    with pytest.raises(SettingsError) as error:
        load(tmp_path, *changes)
    assert SECRET[:10] not in str(error.value)
    assert changes[0][0] in str(error.value)


def test_secrets_are_not_in_what_is_printed_of_settings(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        ("pipeline", "token", f'"{SECRET}"'),
        ("pipeline.source.headers", "X-Key", f'"{SECRET}"'),
        ("pipeline.sink.auth", "bearer", f'"{SECRET}"'),
    )
    assert SECRET not in repr(settings)
    assert asking_of(settings).headers == {"X-Key": SECRET}


def test_secrets_come_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_SOURCE", SECRET)
    settings = load(tmp_path, ("pipeline.source.headers", "X-Key", '"env:KEY_OF_SOURCE"'))
    assert asking_of(settings).headers == {"X-Key": SECRET}
    with pytest.raises(SettingsError, match="no variable 'KEY_OF_NOBODY'"):
        load(tmp_path, ("pipeline.source.headers", "X-Key", '"env:KEY_OF_NOBODY"'))
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path, ("pipeline.sink.auth", "bearer", '"file:/nowhere/at/all"'))


def test_a_mapping_is_a_path_or_a_table(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        ("pipeline.mapping", "id", '"uid"'),
        ("pipeline.mapping", "price", '{ path = "price.amount", cast = "number", optional = true }'),
        ("pipeline.mapping", "origin", '{ constant = "ss" }'),
    )
    assert settings.mapper.fields == {
        "id": Field("uid"),
        "price": Field("price.amount", cast="number", optional=True),
        "origin": Field(None, constant="ss"),
    }


def test_the_presets_know_the_addresses_of_snk_serve(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        ("pipeline.source", "preset", '"serve"'),
        ("pipeline.source", "url", '"http://ss.example/v1/records/"'),
        ("pipeline.sink", "preset", '"serve"'),
        ("pipeline.sink", "url", '"http://rs.example/v1/records"'),
        ("pipeline.mapping", "uid", '"uid"'),
    )
    assert asking_of(settings).url == "http://ss.example/v1/records/frames/{start}?seconds=60"
    assert asking_of(settings).closed
    assert str(sending_of(settings).batch_url) == "http://rs.example/v1/records/batch"
    assert digest_url_of(settings) == "http://rs.example/v1/records/digest?from={start}&to={end}&columns=uid"


def unreadable(folder: Path) -> Any:
    return load_settings(folder / "none.toml")


def test_no_file_and_no_table_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="There is no readable file"):
        unreadable(tmp_path)
    (tmp_path / "none.toml").write_text("[other]\n")
    with pytest.raises(SettingsError, match=r"has no table \[pipeline\]"):
        unreadable(tmp_path)
    (tmp_path / "none.toml").write_text("[pipeline\n")
    with pytest.raises(SettingsError, match="is not valid TOML"):
        unreadable(tmp_path)


@pytest.mark.parametrize("constant", ["2026-11-25T00:00:00Z", "2026-11-25", "nan", "[inf]"])
def test_a_constant_that_json_does_not_have_is_refused(tmp_path: Path, constant: str) -> None:
    file = tmp_path / "snk.toml"
    file.write_text(
        "[pipeline]\nbase = 2026-11-25T00:00:00Z\n[pipeline.source]\nurl = 'http://a/?f={start}&t={end}'\n"
        f"[pipeline.mapping]\nfield = {{ constant = {constant} }}\n[pipeline.sink]\nurl = 'http://b/'\n"
    )
    with pytest.raises(SettingsError, match=r"pipeline\.mapping\.field has the constant"):
        load_settings(file)

"""The settings of the pipeline: the table ``[pipeline]`` of the file of settings."""

from datetime import UTC, datetime
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, SecretStr
from yarl import URL

from snk.errors import SettingsError
from snk.http.auth.credentials import AuthTable
from snk.http.token import check_tokens
from snk.pipeline.mapping import Cast, Mapper, compiled, dumps
from snk.pipeline.mapping import Field as MappedField
from snk.pipeline.outcome import Outcome
from snk.settings import Secret, SettingsTable, read_table

STATUS = r"^[1-5](\d\d|xx)$"
Status = Annotated[int, Field(ge=200, le=599)]
Preset = Literal["", "serve"]


class SourceTable(SettingsTable):
    """The table ``[pipeline.source]``: where frames are pulled from.

    Attributes:
        preset: ``serve`` if it is `snk serve`; then ``url`` is that of the dataset, and the form of pages is known.
        url: with ``{start}`` and ``{end}``, the bounds of a frame in UTC.
        records: JMESPath to the list of records; empty if the document is the list. Of JSON only.
        uid: JMESPath in a record to the text or whole number that identifies it.
        page: how further pages are found.
        page_name: the parameter of the query that gets the number of a page.
        page_first: the number of the first page.
        cursor: JMESPath in the document to the cursor of the next page; nothing there means that there is none.
        cursor_name: the parameter of the query that gets the cursor.
        count: JMESPath in the document to the number of records of the whole frame; empty if the source does not tell.
        empty_statuses: answers that mean that a frame has no records, once the source has answered 200.
        in_flight: how many frames are pulled at once.
    """

    preset: Preset = ""
    url: str
    format: Literal["json", "jsonl", "csv"] = "json"
    records: str = ""
    uid: str = "uid"
    page: Literal["none", "page", "cursor", "link"] = "none"
    page_name: str = "page"
    page_first: int = Field(1, ge=0)
    cursor: str = "next"
    cursor_name: str = "after"
    count: str = ""
    empty_statuses: tuple[Status, ...] = (204, 404)
    requests_per_second: float = Field(10.0, gt=0, le=100_000)
    in_flight: int = Field(4, ge=1, le=100)
    timeout_seconds: float = Field(30.0, gt=0, le=3600)
    headers: dict[str, Secret] = Field(default_factory=dict)
    auth: AuthTable = AuthTable()


class SinkTable(SettingsTable):
    """The table ``[pipeline.sink]``: where records are pushed to.

    Attributes:
        preset: ``serve`` if it is `snk serve`; then ``url`` is that of the dataset, and its digest is known.
        in_flight: how many requests are under way at once.
        batch: how many records one request has; 0 sends each by itself, as an object and not in a list.
        key_form: how Idempotency-Key is written: as it is, or in quotes, as the draft of the IETF wants it.
        outcomes: those answers that mean something else than usual.
        tries: of a record that is refused for a while, as long as others are taken, before its frame is set aside.
        digest_url: answers with count and digest of what the database holds from ``{start}`` to ``{end}``.
    """

    preset: Preset = ""
    url: str
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    in_flight: int = Field(1, ge=1, le=1000)
    batch: int = Field(0, ge=0, le=10_000)
    key_form: Literal["bare", "quoted"] = "bare"
    outcomes: dict[Annotated[str, Field(pattern=STATUS)], Outcome] = Field(default_factory=dict)
    tries: int = Field(20, ge=1, le=1_000_000)
    timeout_seconds: float = Field(10.0, gt=0, le=3600)
    retry_first_ms: int = Field(100, ge=1, le=600_000)
    retry_most_ms: int = Field(30_000, ge=1, le=3_600_000)
    digest_url: str = ""
    headers: dict[str, Secret] = Field(default_factory=dict)
    auth: AuthTable = AuthTable()


class FieldTable(SettingsTable):
    """Where one field of the target comes from: a path or a constant."""

    path: str = ""
    constant: Any = None
    cast: Cast | None = None
    optional: bool = False


class Pipeline(SettingsTable):
    """The table ``[pipeline]``.

    Attributes:
        base: where the first frame starts.
        space: the folder of both spaces.
        delay_seconds: how long after its end a frame is pulled first; with ``delay = "auto"``, at least.
        delay: ``auto`` follows the lateness of records, up to the lookback.
        lookback_minutes: the age up to which a frame is pulled again, for records that came late.
        order: ``newest`` first keeps the present in time while a backlog is worked off.
        oldest_share: with ``newest``, which share of all frames is taken from the other end.
        quota_bytes: what both spaces may take on disk; 0 is no limit.
        host: of the status service.
        token: bearer token of the status service; needed unless it listens on loopback only.
        view_token: another one, of those who may look and change nothing.
    """

    base: AwareDatetime
    frame_seconds: int = Field(60, ge=1, le=86_400)
    space: Path = Path("/var/lib/snk/pipeline")
    delay_seconds: float = Field(30.0, ge=0, le=86_400)
    delay: Literal["fixed", "auto"] = "fixed"
    lookback_minutes: float = Field(60.0, ge=0, le=100_000)
    order: Literal["newest", "oldest"] = "newest"
    oldest_share: float = Field(0.5, ge=0.01, le=1)
    quota_bytes: int = Field(0, ge=0)
    host: str = "127.0.0.1"
    port: int = Field(8093, ge=0, le=65535)
    token: Secret = SecretStr("")
    view_token: Secret = SecretStr("")
    source: SourceTable
    mapping: dict[str, str | FieldTable] = Field(default_factory=dict)
    sink: SinkTable

    @property
    def operators_token(self) -> str | None:
        """The token of those who may do everything, if set."""
        return self.token.get_secret_value() or None

    @property
    def viewers_token(self) -> str | None:
        """The token of those who may only look, if set."""
        return self.view_token.get_secret_value() or None

    @property
    def mapper(self) -> Mapper:
        """The mapping, ready for use."""
        return Mapper({name: _field(given) for name, given in self.mapping.items()})

    @property
    def base_seconds(self) -> int:
        """The base in seconds since the epoch."""
        return int(self.base.astimezone(UTC).timestamp())


def load_settings(given: Path | None = None) -> Pipeline:
    """Read the settings.

    Args:
        given: the file that is named on the command line.

    Raises:
        SettingsError: names each wrong setting, its value unless it is a secret, and what is right.
    """
    settings = read_table("pipeline", Pipeline, given)
    if settings.base.microsecond:
        raise SettingsError(f"pipeline.base is {settings.base}", hint="Give it in whole seconds")
    if settings.base.astimezone(UTC) < datetime(1970, 1, 1, tzinfo=UTC):
        raise SettingsError(f"pipeline.base is {settings.base}", hint="Give a time after 1970")
    _check_urls(settings)
    _check_paths(settings)
    if settings.sink.retry_first_ms > settings.sink.retry_most_ms:
        first = settings.sink.retry_first_ms
        raise SettingsError(f"pipeline.sink.retry_first_ms is {first}, above pipeline.sink.retry_most_ms")
    check_tokens("pipeline.token", settings.operators_token, "pipeline.view_token", settings.viewers_token)
    return settings.model_copy(update={"space": settings.space.absolute()})


def _check_urls(settings: Pipeline) -> None:
    bounds = set() if settings.source.preset else {"start", "end"}
    _check_url("pipeline.source.url", settings.source.url, bounds, bounds)
    _check_url("pipeline.sink.url", settings.sink.url, set(), set())
    if settings.sink.digest_url:
        _check_url("pipeline.sink.digest_url", settings.sink.digest_url, {"start", "end"}, {"start", "end"})


def _check_url(name: str, url: str, needed: set[str], known: set[str]) -> None:
    """An address of HTTP with the placeholders that it needs."""
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"{name} is {url!r}", hint="Write an address that starts with http:// or https://")
    try:
        parts = [part for part in Formatter().parse(url) if part[1] is not None]
        host = URL(url).host
    except ValueError as error:
        raise SettingsError(f"{name} is {url!r}: {error}", hint="Write {{ and }} for braces") from None
    if not host:
        raise SettingsError(f"{name} is {url!r}, without a host", hint="Write it such as http://ss.example/records")
    if any(form or conversion for _, _, form, conversion in parts):
        raise SettingsError(f"{name} is {url!r}", hint="Write {start} and {end} as they are, without a format")
    found = {field for _, field, _, _ in parts if field is not None}
    if needed - found:
        missing = " and ".join(f"{{{each}}}" for each in sorted(needed - found, reverse=True))
        raise SettingsError(f"{name} is {url!r}, without {missing}", hint="Put the bounds of a frame where they belong")
    if found - known:
        raise SettingsError(
            f"{name} is {url!r}, with {{{min(found - known)}}}", hint="Only {start} and {end} are known"
        )


def _check_paths(settings: Pipeline) -> None:
    source = settings.source
    paths = {f"pipeline.source.{name}": getattr(source, name) for name in ("records", "uid", "cursor", "count")}
    for name, given in settings.mapping.items():
        table = given if isinstance(given, FieldTable) else FieldTable(path=given)
        if not table.path and table.constant is None:
            hint = 'Write a JMESPath, such as "price.amount", or { constant = ... }'
            raise SettingsError(f"pipeline.mapping.{name} has neither a path nor a constant", hint=hint)
        if table.path and table.constant is not None:
            raise SettingsError(f"pipeline.mapping.{name} has a path and a constant", hint="Keep one of them")
        _check_constant(name, table.constant)
        paths[f"pipeline.mapping.{name}"] = table.path
    for name, path in paths.items():
        try:
            compiled(path)
        except ValueError as error:
            raise SettingsError(f"{name} is {path!r}, which is no JMESPath: {error}") from None


def _check_constant(name: str, constant: Any) -> None:
    """Refuse what TOML has and JSON has not: dates without quotes, and numbers that are not finite."""
    try:
        dumps(constant)
    except (TypeError, ValueError):
        hint = "Write a text, a number, true or false, or a list or table of these"
        raise SettingsError(f"pipeline.mapping.{name} has the constant {constant}", hint=hint) from None


def _field(given: str | FieldTable) -> MappedField:
    table = given if isinstance(given, FieldTable) else FieldTable(path=given)
    return MappedField(table.path or None, table.constant, table.cast, table.optional)

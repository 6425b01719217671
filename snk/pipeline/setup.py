"""Makes the parts of both processes from the settings."""

from yarl import URL

from snk.core.backoff import Backoff
from snk.http.auth.credentials import Credentials
from snk.pipeline.frame import Grid
from snk.pipeline.outcome import USUAL
from snk.pipeline.page import Reading
from snk.pipeline.pull import Pulling
from snk.pipeline.schedule import Looking
from snk.pipeline.settings import Pipeline, SinkTable, SourceTable
from snk.pipeline.sink import Sending
from snk.pipeline.source import Asking
from snk.pipeline.space import Space
from snk.pipeline.status import Known


def space_of(settings: Pipeline) -> Space:
    """Both spaces."""
    return Space(settings.space, Grid(settings.base_seconds, settings.frame_seconds))


def pulling_of(settings: Pipeline) -> Pulling:
    """How frames are pulled."""
    grid = Grid(settings.base_seconds, settings.frame_seconds)
    looking = Looking(grid, settings.lookback_minutes * 60)
    return Pulling(
        looking,
        settings.delay_seconds,
        settings.delay == "auto",
        share_of(settings),
        settings.source.in_flight,
        settings.quota_bytes,
    )


def known_of(settings: Pipeline) -> Known:
    """What the status has to know."""
    plan = pulling_of(settings)
    return Known(plan.looking, plan.delay, plan.quota, bool(digest_url_of(settings)))


def share_of(settings: Pipeline) -> float:
    """Which share of all frames is taken from the oldest."""
    return 1.0 if settings.order == "oldest" else settings.oldest_share


def asking_of(settings: Pipeline) -> Asking:
    """How the source is asked."""
    source = settings.source
    preset = source.preset == "serve"
    cursor = source.cursor if source.page == "cursor" else ""
    reading = Reading("jsonl" if preset else source.format, source.records, source.uid, cursor, source.count)
    return Asking(
        _frames_url(settings) if preset else source.url,
        reading,
        "none" if preset else source.page,
        source.cursor_name if source.page == "cursor" else source.page_name,
        source.page_first,
        frozenset(source.empty_statuses) - ({404} if preset else set()),
        source.requests_per_second,
        source.timeout_seconds,
        _headers(source),
        Credentials(source.auth),
        closed=preset,
    )


def sending_of(settings: Pipeline) -> Sending:
    """How records are sent."""
    sink = settings.sink
    url = URL(sink.url)
    preset = sink.preset == "serve"
    return Sending(
        url,
        url / "batch" if preset else url,
        preset,
        sink.method,
        sink.batch,
        sink.key_form,
        {**USUAL, **sink.outcomes},
        sink.tries,
        sink.timeout_seconds,
        sink.in_flight,
        _headers(sink),
        Credentials(sink.auth),
    )


def retry_of(sink: SinkTable) -> Backoff:
    """The delays before a record is sent again."""
    return Backoff(sink.retry_first_ms / 1000, sink.retry_most_ms / 1000)


def digest_url_of(settings: Pipeline) -> str:
    """Where the receiving server tells what its database holds; empty if it does not."""
    sink = settings.sink
    if sink.digest_url or sink.preset != "serve":
        return sink.digest_url
    columns = f"&columns={','.join(settings.mapping)}" if settings.mapping else ""
    return f"{sink.url.rstrip('/')}/digest?from={{start}}&to={{end}}{columns}"


def _frames_url(settings: Pipeline) -> str:
    return f"{settings.source.url.rstrip('/')}/frames/{{start}}?seconds={settings.frame_seconds}"


def _headers(table: SourceTable | SinkTable) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in table.headers.items()}

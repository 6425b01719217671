"""The options of a file of ``http_table``, as its executor reads them: what is wrong with them ends the file."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from snk.batch import options
from snk.batch.consumer.failing import FileFailed


def options_of(given: Mapping[str, Any]) -> options.Options:
    """The options.

    Raises:
        FileFailed: what is wrong with them.
    """
    with _ending():
        return options.options_of(given)


def span_of(given: options.Options, payload: Mapping[str, Any]) -> options.Span | None:
    """The time of the records that are loaded; None if all are.

    Raises:
        FileFailed: a time is none, or the payload lacks what it is made of.
    """
    with _ending():
        return options.span_of(given, payload)


@contextmanager
def _ending() -> Iterator[None]:
    try:
        yield
    except options.OptionsWrong as error:
        raise FileFailed(error.args[0], hint=error.hint) from None

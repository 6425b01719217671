"""Numbers as people read them."""

import pytest

from snk.http.portal.units import size


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (10 * 2**20, "10 MiB"), (2**30, "1.0 GiB"), (2**53, "8192 TiB")],
)
def test_bytes_are_told_in_the_unit_that_suits_them(count: float, words: str) -> None:
    assert size(count) == words

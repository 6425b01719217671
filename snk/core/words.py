"""Words that depend on numbers."""


def counted(count: int, noun: str) -> str:
    """A number with what it counts: ``1 row``, ``2,000 rows``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"

"""Values of rows as text, for people and for JSON."""


def as_text(value: object) -> str | None:
    """A value as PostgreSQL writes it; None for NULL."""
    if value is None:
        return None
    return "\\x" + value.hex() if isinstance(value, bytes) else str(value)

"""Numbers as people read them. Pure."""

from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
KIB, UNITS = 1024.0, ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: float) -> str:
    """A number with separators: ``12,345``."""
    return f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """A length of time: ``12 ms``, ``3.4 s``, ``5 min``, ``2 h``, ``3 days``; a dash if it is not known."""
    if value is None:
        return "-"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < MINUTE:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"  # noqa: PLR2004
    if value < 2 * HOUR:
        return f"{value / MINUTE:.0f} min"
    return f"{value / HOUR:.0f} h" if value < 2 * DAY else f"{value / DAY:.0f} days"


def ago(value: float | None) -> str:
    """How long ago something was: ``3 s ago``; ``never`` if it is not known."""
    return "never" if value is None else f"{seconds(value)} ago"


def moment(at: float) -> str:
    """Seconds since the epoch as a time of UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


def size(count: float) -> str:
    """A number of bytes: ``512 B``, ``3.4 MiB``."""
    power = 0
    while count >= KIB and power < len(UNITS) - 1:
        count, power = count / KIB, power + 1
    return f"{count:.1f} {UNITS[power]}" if power and count < 10 else f"{count:.0f} {UNITS[power]}"  # noqa: PLR2004

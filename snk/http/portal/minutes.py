"""A day as a calendar of its minutes: a row for each hour, a cell for each minute. Pure.

A cell has a colour and a sign, and its title says the same in words. The keyboard reaches the hours, and a page shows
the minutes of the hour that is chosen as a list: 1,440 stops would be too many.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

HOURS, MINUTES = 24, 60


@dataclass(frozen=True, slots=True)
class Kind:
    """What a minute may be.

    Attributes:
        word: that says it.
        sign: in its cell.
        look: the class of the style sheet that colours it.
    """

    word: str
    sign: str
    look: str


@dataclass(frozen=True, slots=True)
class Minutes:
    """The minutes of a day.

    Attributes:
        kinds: what they may be.
        codes: the index of the kind of each; None if there is nothing at that minute.
        plain: the index of the kind that is not worth a row if an hour has no other.
    """

    kinds: Sequence[Kind]
    codes: Sequence[int | None]
    plain: int

    def hour(self, hour: int) -> Sequence[int | None]:
        """The minutes of one hour."""
        return self.codes[hour * MINUTES : (hour + 1) * MINUTES]

    def told(self, hour: int) -> str:
        """What the minutes of an hour are, counted."""
        counts = Counter(code for code in self.hour(hour) if code is not None)
        return ", ".join(f"{counts[code]} {self.kinds[code].word}" for code in sorted(counts))


def calendar(minutes: Minutes, to: Callable[[int], str], hour_to: Callable[[int], str]) -> str:
    """The calendar as HTML; hours of which nothing is to be told are left out.

    Args:
        minutes: the day.
        to: the page of a minute, by its number.
        hour_to: the page that lists an hour.
    """
    return "".join(_calendar(minutes, to, hour_to))


def _calendar(minutes: Minutes, to: Callable[[int], str], hour_to: Callable[[int], str]) -> Iterator[str]:
    yield '<div class="minutes"><p class="scale" aria-hidden="true"><i></i>'
    yield "".join(f"<i>{minute:02}</i>" for minute in range(0, MINUTES, 10))
    yield "</p>"
    for hour in range(HOURS):
        if set(minutes.hour(hour)) - {None, minutes.plain}:
            told = escape(f"{hour:02} h: {minutes.told(hour)}")
            yield f'<div class="hour"><a href="{escape(hour_to(hour))}" aria-label="{told}">{hour:02}</a>'
            yield '<div class="cells" aria-hidden="true">'
            yield from _cells(minutes, hour, to)
            yield "</div></div>"
    yield "</div>"


def _cells(minutes: Minutes, hour: int, to: Callable[[int], str]) -> Iterator[str]:
    for minute, code in enumerate(minutes.hour(hour)):
        if code is None:
            yield "<i></i>"
            continue
        kind = minutes.kinds[code]
        title = f'title="{hour:02}:{minute:02} {kind.word}"'
        if code == minutes.plain:
            yield f"<i {title}>{kind.sign}</i>"
        else:
            page = escape(to(hour * MINUTES + minute))
            yield f'<a class="{kind.look}" href="{page}" {title} tabindex="-1">{kind.sign}</a>'

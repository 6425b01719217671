"""A day as a calendar of minutes."""

from collections.abc import Sequence

from snk.http.portal.minutes import Kind, Minutes, calendar

KINDS = [Kind("not due", ".", ""), Kind("done", "+", "good"), Kind("bad <b>", "!", "bad")]


def drawn(codes: Sequence[int | None]) -> str:
    minutes = Minutes(KINDS, [*codes, *[0] * (1440 - len(codes))], 0)
    return calendar(minutes, lambda minute: f"/frames/{minute}?a&b", lambda hour: f"/?hour={hour}")


def test_each_minute_has_a_sign_a_title_and_its_page() -> None:
    text = drawn([1, None, 1])
    assert '<a class="good" href="/frames/0?a&amp;b" title="00:00 done" tabindex="-1">+</a><i></i>' in text
    assert '<i title="00:03 not due">.</i>' in text, "a minute without a page"
    assert text.count("tabindex") == 2


def test_an_hour_says_in_words_what_its_minutes_are() -> None:
    assert 'href="/?hour=0" aria-label="00 h: 1 done, 2 bad &lt;b&gt;' in drawn([*[None] * 57, 1, 2, 2])


def test_hours_that_tell_nothing_are_left_out() -> None:
    assert drawn([]).count('class="hour"') == 0
    assert drawn([0] * 60 + [1]).count('class="hour"') == 1

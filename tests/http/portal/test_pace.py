"""How often pages are drawn again."""

from snk.http.portal.live import shown_seconds


def test_a_page_that_takes_long_to_draw_is_drawn_less_often() -> None:
    assert [shown_seconds(took) for took in (0.0, 0.005, 0.01, 0.03, 7.0)] == [1.0, 1.0, 1.0, 3.0, 5.0]

"""Links of pages that are shown below a prefix."""

import orjson
import pytest
from markupsafe import escape

from snk.portal import rewritten

PREFIX = "/p/orders"


def test_links_of_a_page_lead_to_its_process() -> None:
    text = '<link href="/portal/portal.css?1"><script src="/a.js"></script><form action="/do"><a href="/tables/x">x</a>'
    found = rewritten.page(text, PREFIX)
    assert found.count(f'="{PREFIX}/') == 4


@pytest.mark.parametrize(
    "link", ['href="//elsewhere/"', 'href="https://elsewhere/"', 'href="?page=2"', 'href="#content"']
)
def test_other_links_stay_as_they_are(link: str) -> None:
    assert rewritten.page(f"<a {link}>", PREFIX) == f"<a {link}>"


def test_what_a_value_says_stays_as_it_is() -> None:
    value = escape(' href="/tables" ')
    text = f"<td>{value}</td>"
    assert rewritten.page(text, PREFIX) == text


def test_the_name_of_a_page_leads_back() -> None:
    assert '<a class="back" href="/">' in rewritten.page('<p class="name"><a href="/">SNK</a></p>', PREFIX)


def test_parts_that_come_later_are_treated_alike() -> None:
    line = b"data: " + orjson.dumps({"name": "x", "html": '<a href="/tables">'}) + b"\n"
    told = orjson.loads(rewritten.event(line, PREFIX).removeprefix(b"data: "))
    assert told == {"name": "x", "html": f'<a href="{PREFIX}/tables">'}
    assert rewritten.event(b"event: part\n", PREFIX) == b"event: part\n"


def test_redirects_stay_with_the_process() -> None:
    assert rewritten.location("/tables?note=1", PREFIX) == f"{PREFIX}/tables?note=1"
    assert rewritten.location("//elsewhere", PREFIX) == "//elsewhere"

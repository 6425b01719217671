"""Loads the pages of a dataset: each is checked and stored by one statement, with where to go on, in one transaction.

So a consumer that dies goes on at the next page, and no record is stored twice. The next page is fetched while one is
stored. Records are taken apart by the database; here, only the address of the next page is looked for, at the end of a
page where `snk serve` writes it. Parsing all of a large page would keep whatever else this process does waiting: no
thread helps, as the parser lets no other one run.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.exc import DBAPIError

from snk.batch.consumer.failing import FileFailed
from snk.batch.consumer.provider import Provider
from snk.batch.consumer.rules import reasons
from snk.batch.consumer.tables import REJECTED, STAGED
from snk.batch.consumer.target import Target
from snk.batch.consumer.work import Step, Work
from snk.batch.options import Span
from snk.db.errors import sqlstate

AFTER, LOADED = "after", "loaded"
"""Members of a file's mark: the key after which the next page begins, and whether there is none."""
END_BYTES = 64 * 1024
_END = re.compile(rb'\]\s*,\s*"next"\s*:\s*("(?:[^"\\]|\\.)*"|null)\s*\}\s*\Z')
"""The last member of an object. In JSON its first quotation mark cannot be in a text: there it would be escaped."""
DATA_ERROR = "22"
MOST_SHOWN = 80
NO_PAGE = "the provider's answer is no page"


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it came.

    Attributes:
        body: the text of a JSON object with the records in ``items``.
        next: the key after which the next page begins; None if it is the last one.
    """

    body: str
    next: str | None


async def load(work: Work, provider: Provider, target: Target, span: Span | None, page_rows: int) -> None:
    """Load all pages that are not stored yet."""
    query: dict[str, str | int] = {"limit": page_rows, **(span.query if span else {})}

    async def fetch(after: str | None) -> Page:
        return page_of(await provider.get(query if after is None else {**query, AFTER: after}))

    if work.progress.mark.get(LOADED):
        return
    after = work.progress.mark.get(AFTER)
    asked: set[str] = {after} if after is not None else set()
    following = asyncio.create_task(fetch(after))
    try:
        while True:
            page = await following
            if page.next is not None:
                _expect_new(page.next, asked)
                following = asyncio.create_task(fetch(page.next))
            async with work.step() as step:
                await _store(work, step, target, page)
            if page.next is None:
                return
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _expect_new(key: str, asked: set[str]) -> None:
    """Note a key that a page is asked for.

    Raises:
        FileFailed: it was before, so the pages would have no end.
    """
    if key in asked:
        words = f"the provider repeats pages: next is {key[:MOST_SHOWN]!r}, after which it was asked before"
        raise FileFailed(words, hint="It has to give what follows the parameter after; see docs/serve.md")
    asked.add(key)


def page_of(body: bytes) -> Page:
    """A page, of which nothing but the end is looked at if it ends as those of `snk serve` do.

    Raises:
        FileFailed: it is none.
    """
    found = _END.search(body, max(0, len(body) - END_BYTES))
    try:
        following = orjson.loads(found[1] if found else body)
        following = following if found else following["next"]
        page = Page(body.decode(), following)
    except (ValueError, TypeError, KeyError):
        raise FileFailed(f"{NO_PAGE}: {_shown(body)}", hint="See docs/serve.md") from None
    if not isinstance(following, str | None):
        raise FileFailed(f"{NO_PAGE}: next is no text")
    return page


def _check(page: Page) -> None:
    """Look at all of a page.

    Raises:
        FileFailed: why it is none.
    """
    try:
        items = orjson.loads(page.body)["items"]
    except (ValueError, TypeError, KeyError):
        raise FileFailed(f"{NO_PAGE}: {_shown(page.body.encode())}", hint="See docs/serve.md") from None
    if not isinstance(items, list):
        raise FileFailed(f"{NO_PAGE}: items is no list")
    if page.next is not None and not items:
        raise FileFailed(f"{NO_PAGE}: it is empty, and another one follows")


def _shown(body: bytes) -> str:
    return repr(body[:MOST_SHOWN].decode("utf-8", "backslashreplace"))


async def _store(work: Work, step: Step, target: Target, page: Page) -> None:
    before = work.progress
    received, rejected = before.received or 0, before.rejected or 0
    values = {"the_page": page.body, "the_file": work.id, "the_first": received}
    try:
        count, bad = (await step.connection.execute(_storing(target), values)).one()
    except DBAPIError as error:
        if sqlstate(error).startswith(DATA_ERROR):
            _check(page)
        raise
    if not count:
        _check(page)
    mark: dict[str, Any] = {LOADED: True} if page.next is None else {AFTER: page.next}
    await step.note(mark=mark, received=received + count, rejected=rejected + bad, reason="")


def _storing(target: Target) -> sa.Select[int, int]:
    """Puts the records of a page where they belong, and counts them, and those that are not valid."""
    page = sa.cast(sa.bindparam("the_page", type_=sa.Text), pg.JSONB)
    items = sa.func.jsonb_array_elements(page["items"]).table_valued(
        sa.column("record", pg.JSONB), with_ordinality="number", name="item"
    )
    item = items.render_derived()
    number = sa.bindparam("the_first", type_=sa.BigInteger) + item.c.number
    file = sa.bindparam("the_file", type_=sa.BigInteger)
    looked = sa.select(
        file.label("file"),
        number.label("number"),
        item.c.record.label("record"),
        reasons(target, item.c.record).label("reasons"),
    )
    checked = looked.cte("checked")
    count = sa.func.cardinality(checked.c.reasons)
    columns = (checked.c.file, checked.c.number, checked.c.record)
    names = ["file", "number", "record"]
    good = sa.insert(STAGED).from_select(names, sa.select(*columns).where(count == 0)).cte("good")
    wrong = sa.select(*columns, checked.c.reasons).where(count > 0)
    bad = sa.insert(REJECTED).from_select([*names, "reasons"], wrong).returning(sa.literal(1).label("one")).cte("bad")
    came, rejected = (sa.select(sa.func.count()).select_from(each).scalar_subquery() for each in (checked, bad))
    return sa.select(came, rejected).add_cte(good)

"""Loads the pages of a dataset: each is checked and stored by one statement, with where to go on, in one transaction.

So a consumer that dies goes on at the next page, and no record is stored twice. The next page is fetched while one is
stored. Records are taken apart by the database; here, only the address of the next page is looked for.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from snk.batch.consumer.failing import FileFailed
from snk.batch.consumer.options import Span
from snk.batch.consumer.provider import Provider
from snk.batch.consumer.rules import reasons
from snk.batch.consumer.tables import REJECTED, STAGED
from snk.batch.consumer.target import Target
from snk.batch.consumer.work import Step, Work

AFTER, LOADED = "after", "loaded"
"""Members of a file's mark: the key after which the next page begins, and whether there is none."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it came.

    Attributes:
        body: the text of a JSON object with the records in ``items``.
        count: how many there are.
        next: the key after which the next page begins; None if it is the last one.
    """

    body: str
    count: int
    next: str | None


async def load(work: Work, provider: Provider, target: Target, span: Span | None, page_rows: int) -> None:
    """Load all pages that are not stored yet."""
    query: dict[str, str | int] = {"limit": page_rows, **(span.query if span else {})}

    async def fetch(after: str | None) -> Page:
        return _page(await provider.get(query if after is None else {**query, AFTER: after}))

    if work.progress.mark.get(LOADED):
        return
    following = asyncio.create_task(fetch(work.progress.mark.get(AFTER)))
    try:
        while True:
            page = await following
            if page.next is not None:
                following = asyncio.create_task(fetch(page.next))
            async with work.step() as step:
                await _store(work, step, target, page)
            if page.next is None:
                return
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _page(body: bytes) -> Page:
    try:
        document = orjson.loads(body)
        items, following = document["items"], document["next"]
    except (ValueError, TypeError, KeyError):
        shown = body[:80].decode("utf-8", "backslashreplace")
        raise FileFailed(f"the provider's answer is no page: {shown!r}", hint="See docs/serve.md") from None
    if not isinstance(items, list) or not isinstance(following, str | None):
        raise FileFailed("the provider's answer is no page: items is no list, or next no text")
    if following is not None and not items:
        raise FileFailed("the provider's answer is no page: it is empty, and another one follows")
    return Page(body.decode(), len(items), following)


async def _store(work: Work, step: Step, target: Target, page: Page) -> None:
    before = work.progress
    received, rejected = before.received or 0, before.rejected or 0
    if page.count:
        values = {"the_page": page.body, "the_file": work.id, "the_first": received}
        bad = (await step.connection.execute(_storing(target), values)).scalar_one()
        rejected += bad
    mark: dict[str, Any] = {LOADED: True} if page.next is None else {AFTER: page.next}
    await step.note(mark=mark, received=received + page.count, rejected=rejected, reason="")


def _storing(target: Target) -> sa.Select[int]:
    """Puts the records of a page where they belong, and counts those that are not valid."""
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
    return sa.select(sa.func.count()).select_from(bad).add_cte(good)

"""The endpoints of one dataset: what each does, once its client is let in and its parameters are read."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import Request, Response

from snk.core.canonical import Digest
from snk.http.api.body import body_of
from snk.http.api.idempotency import idempotency_key
from snk.http.auth.authority import Client
from snk.serve.answer import Streamed, headers_of, not_modified, tag_of, wants_gzip, whole
from snk.serve.answered import Name
from snk.serve.asked import columns_of, frame_of, span_of
from snk.serve.counts import Counts
from snk.serve.database import Database
from snk.serve.payload import parsed
from snk.serve.reading import Page, Span, add, fingerprint, read_digest, read_page, read_records
from snk.serve.settings import END
from snk.serve.table import Dataset
from snk.serve.writing import Writing

SMALL_BYTES = 2**20
"""A frame up to this size is read before it is sent."""
REPLAYED = {"Idempotency-Replayed": "true"}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoints of a dataset.

    Attributes:
        dataset: what is served.
        database: where it is.
        writing: stores records.
        counts: what was done.
    """

    dataset: Dataset
    database: Database
    writing: Writing
    counts: Counts

    async def page(
        self, request: Request, limit: int, after: str | None, start: str | None, end: str | None
    ) -> Response:
        """Records in the order of keys."""
        span = span_of(self.dataset, start, end)
        async with self.database.connection("statement") as connection:
            page = await read_page(connection, self.dataset, limit, after, span)
        self.counts.records_read[self.dataset.name] += len(page.records)
        link = {} if page.next is None else {"Link": f'<{self._next(request, page)}>; rel="next"'}
        body = f'{{"items":[{",".join(page.records)}],"next":{json.dumps(page.next, ensure_ascii=False)}}}'
        return await whole(request, body.encode(), headers=link)

    def _next(self, request: Request, page: Page) -> str:
        query = {**request.query_params, "after": page.next}
        return f"{request.url.path}?{urlencode(query)}"

    async def frame(self, request: Request, minute: str, seconds: int) -> Response:
        """All records of a span of time, closed by their count and digest."""
        parts = self._frame(frame_of(minute, seconds))
        tag = await anext(parts)
        if not tag:
            return await whole(request, b"".join([part async for part in parts]), "application/jsonl")
        named = tag_of(tag)
        if answer := not_modified(request, named):
            await parts.aclose()
            return answer
        gzip = wants_gzip(request)
        return Streamed(parts, headers_of(named, gzip=gzip), self.counts, gzip=gzip)

    async def _frame(self, span: Span) -> AsyncGenerator[bytes, None]:
        """First what tags a large frame, or nothing for a small one; then its lines in parts."""
        digest, held, size = Digest(), list[bytes](), 0
        async with self.database.connection("snapshot") as connection, connection.begin():
            async for records in read_records(connection, self.dataset, self.dataset.read, span):
                add(digest, records)
                part = "".join(f"{record}\n" for record in records).encode()
                if size <= SMALL_BYTES:
                    held.append(part)
                    size += len(part)
                    if size > SMALL_BYTES:
                        yield (await fingerprint(connection, self.dataset, span)).encode()
                        for each in held:
                            yield each
                        held.clear()
                else:
                    yield part
        self.counts.records_read[self.dataset.name] += digest.count
        if size <= SMALL_BYTES:
            yield b""
            for each in held:
                yield each
        yield json.dumps({END: {**span.as_json, "count": digest.count, "digest": digest.hex}}).encode() + b"\n"

    async def digest(self, request: Request, start: str, end: str, columns: str | None) -> Response:
        """Count and digest of the records of a span of time."""
        span, names = span_of(self.dataset, start, end), columns_of(self.dataset, columns)
        async with self.database.connection("snapshot") as connection, connection.begin():
            digest = await read_digest(connection, self.dataset, names, span)
        told = {**span.as_json, "count": digest.count, "digest": digest.hex}
        return await whole(request, json.dumps(told).encode())

    async def store(self, request: Request, client: Client, *, batch: bool) -> Response:
        """Store one record or many, and answer what was answered before if they come again."""
        key = idempotency_key(request.headers.getlist("idempotency-key"), "new record or batch")
        payload = parsed(await body_of(request), self.dataset, batch=batch)
        stored = await self.writing.store(self.dataset, Name(client.name, self.dataset.name, key), payload)
        if stored.replayed:
            self.counts.replayed[self.dataset.name] += 1
        else:
            self.counts.records_written[self.dataset.name] += len(payload.records)
        headers = REPLAYED if stored.replayed else {}
        return Response(stored.answer.body, stored.answer.status, headers, "application/json")

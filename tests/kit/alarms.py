"""Who is told of alerts: a service that takes webhooks, and a server that takes mail."""

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.kit import sites

SECRET = "a secret of at least 24 bytes"


@dataclass
class Receiver:
    """A service that takes webhooks and verifies each as its specification says.

    Attributes:
        status: what it answers.
        headers: of the answer.
        gate: what it waits for before it answers.
        taken: what came: the headers and the body.
        ids: the webhook-id of each.
    """

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    taken: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=x"

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        given = request.headers
        signed = f"{given['webhook-id']}.{given['webhook-timestamp']}.{body.decode()}".encode()
        expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
        assert given["webhook-signature"] == f"v1,{expected}"
        self.ids.append(given["webhook-id"])
        self.taken.append(json.loads(body))
        if self.gate:
            await self.gate.wait()
        return web.Response(status=self.status, headers=self.headers)


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[Receiver]:
    """Serve on a port of its own; on the same one as before if it served already."""
    async with sites.serving(receiver, "POST", "/hook"):
        yield receiver


@dataclass
class Mailbox:
    """A server that takes mail.

    Attributes:
        refuses: recipients that it does not know.
        mails: what it took.
        recipients: of each.
        logins: with which user and password clients came.
    """

    refuses: set[str] = field(default_factory=set)
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    async def handle_RCPT(  # noqa: N802 - its name there
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refuses:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content
        assert content is not None
        self.mails.append(message_from_bytes(content, policy=policy.default))
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 OK"

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == b"wonder")


@asynccontextmanager
async def taking_mail(box: Mailbox, security: str, context: ssl.SSLContext) -> AsyncIterator[Mailbox]:
    """Serve mail with this security."""
    starttls = security == "starttls"

    def protocol() -> SMTP:
        return SMTP(
            box,
            hostname="localhost",
            tls_context=context if starttls else None,
            require_starttls=starttls,
            authenticator=box.authenticate,
            auth_require_tls=starttls,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context if security == "tls" else None)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()

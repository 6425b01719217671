"""Posts alerts to a service, signed as the Standard Webhooks specification 1.0 says.

The signature is HMAC-SHA256 of ``id.timestamp.body``. The id stays the same when a message is sent again; the timestamp
is that of the try, so that a receiver can refuse what was recorded and is sent again by somebody else.
"""

import base64
import hashlib
import hmac
import json
import time

from yarl import URL

from snk.batch.channels import Webhook
from snk.batch.platform.message import Message, NotSent
from snk.http.client import Client, NoAnswer, Request
from snk.http.origin import origin_of

SEND_SECONDS = 10.0
AT_ONCE = 10


class WebhookChannel:
    """One service."""

    def __init__(self, settings: Webhook, link: str) -> None:
        self.name = settings.name
        self.kinds = tuple(settings.kinds)
        self._key = settings.key
        self._link = link
        self._url = URL(settings.url.get_secret_value())
        self._client: Client | None = None

    async def send(self, message: Message) -> str:
        """Post a message.

        Raises:
            NotSent: there was no answer, or none from 200 to 299.
        """
        body = self._body(message)
        at = int(time.time())
        headers = (
            ("Content-Type", "application/json"),
            ("webhook-id", str(message.uid)),
            ("webhook-timestamp", str(at)),
            ("webhook-signature", signature(self._key, str(message.uid), at, body)),
        )
        if self._client is None:
            self._client = Client(origin_of(self._url), AT_ONCE, {})
        try:
            answered = await self._client.send(Request("POST", self._url.raw_path_qs, body, headers), SEND_SECONDS)
        except NoAnswer as error:
            raise NotSent(str(error)) from None
        if not 200 <= answered.status < 300:  # noqa: PLR2004 - what RFC 9110 calls successful
            reason = f"it answers {answered.status}: {answered.text}".rstrip(": \n")
            raise NotSent(reason, answered.retry_after)
        return ""

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    def _body(self, message: Message) -> bytes:
        names = ("alert", "kind", "event", "subject", "task", "run", "text")
        told = {name: getattr(message, name) for name in names} | {"at": message.at.isoformat()}
        return json.dumps(told | ({"link": self._link} if self._link else {}), ensure_ascii=False).encode()


def signature(key: bytes, uid: str, at: int, body: bytes) -> str:
    """The value of the header ``webhook-signature``."""
    digest = hmac.digest(key, f"{uid}.{at}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"

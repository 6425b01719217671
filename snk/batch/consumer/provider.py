"""Asks a provider for JSON: what to wait for, and what only a person can change."""

import re
from collections.abc import Mapping

from yarl import URL

from snk.batch.consumer.failing import FileFailed, Later
from snk.batch.consumer.settings import PLATFORM, PROVIDER
from snk.http.auth.credentials import AuthTable, Credentials
from snk.http.client import Client, Clients, NoAnswer, Request

MOST_BYTES = 256 * 2**20
SLOTS = 20
ANSWER_SECONDS = 120.0
OK, TOO_OFTEN, REQUEST_TIMEOUT, SERVER_FAILED = 200, 429, 408, 500


class Provider:
    """One dataset of a provider."""

    def __init__(self, client: Client, url: URL, credentials: Credentials) -> None:
        self._client = client
        self._url = url
        self._credentials = credentials

    async def get(self, query: Mapping[str, str | int], below: str = "") -> bytes:
        """The body of an answer.

        Args:
            query: added to that of the address.
            below: what follows the path of the dataset, such as ``digest``.

        Raises:
            Later: there is none just now.
            FileFailed: the provider refuses the request.
        """
        url = (self._url / below if below else self._url).with_query(self._url.query).update_query(query)
        authorization = self._credentials.header()
        headers = (("Authorization", authorization),) if authorization else ()
        try:
            answered = await self._client.send(Request("GET", url.raw_path_qs, headers=headers), ANSWER_SECONDS)
        except NoAnswer as error:
            raise Later(f"the provider {url.origin()}: {error}") from None
        if answered.status == OK and not answered.cut:
            return answered.body
        words = f"the provider answers {answered.status} to {url.path}: {answered.text}"
        if answered.status == OK:
            raise FileFailed(f"the provider's answer to {url.path} is too long", hint="Ask for smaller pages")
        if answered.status in (TOO_OFTEN, REQUEST_TIMEOUT) or answered.status >= SERVER_FAILED:
            raise Later(words, seconds=answered.retry_after)
        raise FileFailed(words)


class Providers:
    """Connections to all providers."""

    def __init__(self, credentials: Mapping[str, AuthTable]) -> None:
        self._credentials = {name: Credentials(each) for name, each in credentials.items()}
        self._clients = Clients(SLOTS, MOST_BYTES)

    def provider(self, source: str, auth: str) -> Provider:
        """A dataset.

        Args:
            source: its address.
            auth: the name of credentials; empty for those that are called ``provider``, or none.

        Raises:
            FileFailed: the address cannot be used, there are no such credentials, or they may not be sent there.
        """
        url = _address(source)
        credentials = self._called(auth)
        if not credentials.allowed(url):
            name = auth or PROVIDER
            hint = f"Add it to consumer.credentials.{name}.for, or name other credentials by auth"
            raise FileFailed(f"source is at {url.origin()}, and the credentials {name!r} are not for it", hint=hint)
        return Provider(self._clients.of(url), url, credentials)

    def _called(self, auth: str) -> Credentials:
        if auth == PLATFORM:
            hint = "Name others, or leave auth out"
            raise FileFailed(f"auth is {auth!r}, and these credentials are for reports only", hint=hint)
        if auth and auth not in self._credentials:
            there = ", ".join(sorted(self._credentials.keys() - {PLATFORM})) or "none"
            hint = f"There are {there}; add [consumer.credentials.{auth}] to the consumer's settings"
            raise FileFailed(f"auth is {auth!r}, and this consumer has no such credentials", hint=hint)
        return self._credentials.get(auth or PROVIDER, Credentials(AuthTable()))

    async def close(self) -> None:
        """Close all connections."""
        await self._clients.close()


def _address(source: str) -> URL:
    try:
        url = URL(source)
        _ = url.port  # raises ValueError for what is no port
    except ValueError as error:
        shown = re.sub(r"//[^/]*@", "//***@", source)
        raise FileFailed(f"source is {shown!r}, which is no address: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.user or url.password:
        raise FileFailed(f"source is {_shown(url)!r}", hint="Write http(s)://HOST:PORT/v1/DATASET, without a user")
    return url


def _shown(url: URL) -> str:
    return str(url.with_user(None) if url.user else url)

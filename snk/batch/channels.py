"""Which alerts there are, and where they are sent: the table ``[batch.alerts]`` of the file of settings."""

import base64
import re
from email.errors import MessageError
from email.headerregistry import Address
from enum import StrEnum
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from snk.settings import Secret, SettingsTable

SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret may begin with
LEAST_SECRET_BYTES = 24
LOG = "log"
"""The channel that is always there."""


class Kind(StrEnum):
    """What an alert is about.

    Attributes:
        OVERDUE: a run did not end before its deadline.
        FAILED: a run has failed.
        RECON_FAILED: the records that a run loaded are not those of the provider.
        UNREACHABLE: several calls of a task's consumer failed in a row, and nobody seems to be there.
        CALLS_FAILED: several calls of a task's consumer failed in a row for another reason, such as a refusal.
        NO_NODE: no node of the platform was alive.
    """

    OVERDUE = "overdue"
    FAILED = "failed"
    RECON_FAILED = "recon_failed"
    UNREACHABLE = "unreachable"
    CALLS_FAILED = "calls_failed"
    NO_NODE = "no_node"


def _mail_address(given: str) -> str:
    try:
        parsed = Address(addr_spec=given)
    except (MessageError, ValueError, IndexError):
        parsed = Address()
    if not parsed.username or not parsed.domain or not re.fullmatch(r"[!-~]+", given):
        raise ValueError(f"{given!r} is no address of mail; write one such as ops@example.com")
    return given


MailAddress = Annotated[str, AfterValidator(_mail_address)]


class ChannelTable(SettingsTable):
    """One channel.

    Attributes:
        name: unlike that of all others.
        kinds: of the alerts that it is told; empty for all.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")
    kinds: tuple[Kind, ...] = ()


class Webhook(ChannelTable):
    """A service that alerts are posted to, signed as the Standard Webhooks specification says.

    Attributes:
        url: of the service; treated as a secret, because some services have theirs in it.
        secret: of the signatures: at least 24 bytes, as text, or as base64 after ``whsec_``.
    """

    url: Secret
    secret: Secret

    @property
    def key(self) -> bytes:
        """The bytes that sign."""
        return _key(self.secret.get_secret_value())

    @model_validator(mode="after")
    def _check(self) -> Self:
        parts = urlsplit(self.url.get_secret_value())
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError("its url is no address of a service; write https://HOST/PATH, without user and password")
        if (size := len(self.key)) < LEAST_SECRET_BYTES:
            hint = "`openssl rand -hex 32` makes one"
            raise ValueError(f"its secret has {size} bytes; use at least {LEAST_SECRET_BYTES}: {hint}")
        return self


class Email(ChannelTable):
    """People who are written to.

    Attributes:
        host: of the mail server.
        port: of it; default: that of `security`.
        security: ``starttls`` (587), ``tls`` from the first byte (465), or ``none`` (25).
        sender: in the file: ``from``.
        to: who is written to.
        user: at the mail server; empty for none.
        password: of this user.
    """

    host: str = Field(min_length=1)
    port: int | None = Field(None, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: MailAddress = Field(alias="from")
    to: tuple[MailAddress, ...] = Field(min_length=1)
    user: str = ""
    password: Secret | None = None

    @property
    def port_used(self) -> int:
        """The port, with its default."""
        return self.port or {"starttls": 587, "tls": 465, "none": 25}[self.security]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.user) != (self.password is not None):
            raise ValueError("give both user and password, or none of them")
        if self.password is not None and self.security == "none":
            raise ValueError("without security its password could be read on the way; use starttls or tls")
        return self


class Alerts(SettingsTable):
    """The table ``[batch.alerts]``.

    Attributes:
        unreachable_tries: so many calls in a row have to fail until `unreachable` or `calls_failed` is raised.
        link: is added to what is sent, such as the address of a page that says what to do.
        webhooks: services that alerts are posted to.
        emails: people who are written to.
    """

    unreachable_tries: int = Field(3, ge=1, le=1_000_000)
    link: str = Field("", pattern=r"^[!-~]*$", max_length=2000)
    webhooks: tuple[Webhook, ...] = ()
    emails: tuple[Email, ...] = ()

    @field_validator("webhooks", "emails")
    @classmethod
    def _check_log(cls, given: tuple[ChannelTable, ...]) -> tuple[ChannelTable, ...]:
        if any(each.name == LOG for each in given):
            raise ValueError(f"{LOG!r} is the name of the channel that is always there; take another one")
        return given

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [each.name for each in (*self.webhooks, *self.emails)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two channels have the name {twice[0]!r}; each needs one of its own")
        return self


def _key(secret: str) -> bytes:
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        raise ValueError(f"its secret is no base64 after {SECRET_PREFIX}") from None

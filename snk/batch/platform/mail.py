"""Writes alerts to people: plain text over SMTP."""

import asyncio
import ssl
from email.message import EmailMessage
from email.policy import SMTP

import aiosmtplib

from snk.batch.channels import Email
from snk.batch.platform.message import Message, NotSent

SEND_SECONDS = 30.0
MOST_SUBJECT = 200


class MailChannel:
    """One list of people."""

    def __init__(self, settings: Email, link: str) -> None:
        self.name = settings.name
        self.kinds = tuple(settings.kinds)
        self._settings = settings
        self._link = link

    async def send(self, message: Message) -> str:
        """Send a mail to all of them; who is refused while others are not is returned.

        Raises:
            NotSent: the server could not be reached, is not who it should be, or takes the mail for nobody.
        """
        settings = self._settings
        try:
            async with asyncio.timeout(SEND_SECONDS):
                refused, _ = await aiosmtplib.send(
                    written(message, settings, self._link),
                    sender=settings.sender,
                    recipients=settings.to,
                    hostname=settings.host,
                    port=settings.port_used,
                    username=settings.user or None,
                    password=settings.password.get_secret_value() if settings.password else None,
                    use_tls=settings.security == "tls",
                    start_tls=settings.security == "starttls",
                    timeout=SEND_SECONDS,
                )
        except TimeoutError:
            raise NotSent(f"it was not taken within {SEND_SECONDS:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise NotSent(f"the certificate of {settings.host} was rejected: {error.verify_message}") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise NotSent(_line(str(error)) or type(error).__name__) from None
        return "; ".join(f"{who} was refused: {code} {_line(why)}" for who, (code, why) in refused.items())

    async def close(self) -> None:
        """Nothing: a connection lasts for one mail."""


def written(message: Message, settings: Email, link: str) -> EmailMessage:
    """The mail. What comes from a consumer is in its text only, and in its subject as one line."""
    mail = EmailMessage(policy=SMTP)
    about = f"{message.subject} of {message.task}" if message.run and message.task else message.subject
    mail["Subject"] = f"[snk batch] {message.kind} {message.event}: {_line(about)}"[:MOST_SUBJECT]
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.to)
    mail["Date"] = message.at
    mail["Message-ID"] = f"<{message.uid}@{settings.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    facts = {"task": message.task, "run": message.run, "alert": message.alert, "link": link}
    lines = [message.text, "", *(f"{name}: {value}" for name, value in facts.items() if value)]
    mail.set_content("\n".join([*lines, f"at: {message.at.isoformat(sep=' ', timespec='seconds')}", ""]))
    return mail


def _line(text: str) -> str:
    return " ".join(text.split())

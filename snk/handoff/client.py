"""The connections to one backend, and whether it is alive."""

from base64 import b64encode

from snk.http.client import Client, NoAnswer, Request
from snk.http.origin import Origin

ALIVE = b"ok\n"


class BackendClient(Client):
    """The connections to one backend; one more than it has slots, for the question whether it is alive."""

    def __init__(self, name: str, slots: int, authorization: str | None, *, tls: bool = False) -> None:
        """Assign.

        Args:
            name: its host and port.
            slots: requests at once.
            authorization: user:password, if it needs one.
            tls: whether it is reached by https.
        """
        headers = {"Authorization": "Basic " + b64encode(authorization.encode()).decode()} if authorization else {}
        host, _, port = name.rpartition(":")
        super().__init__(Origin("https" if tls else "http", host, int(port)), slots + 1, headers)

    async def alive(self, seconds: float) -> str:
        """Why the backend is not alive; empty if it is."""
        try:
            answer = await self.send(Request("GET", "/status.html"), seconds)
        except NoAnswer as error:
            return str(error)
        if answer.status == 200 and answer.body == ALIVE:  # noqa: PLR2004
            return ""
        return f"/status.html answers {answer.status} {answer.text[:40]!r}, not 200 'ok\\n'"

"""HTTP/1.1 for clients that keep their connections, and for some that only hold them.

Every connection is in one of four states, and each has its deadline: a head that is being received, a body that is
being received, an answer that the client reads, and idleness between requests. A client that misses a deadline is
dropped, and with it what its request holds, such as a connection to the database.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from snk.http.api.problem import BUSY_SECONDS, Problem

HEAD_SECONDS = 10.0
BODY_SECONDS = 60.0
STALL_SECONDS = 30.0
LEAST_PROGRESS_BYTES = 30 * 1024
"""What a client must read in this time, if there is so much."""
IDLE_SECONDS = 75
LINGER_SECONDS = 5.0
"""How long a closed connection may take to send what is left."""


class KeptProtocol(H11Protocol):
    """HTTP/1.1 on connections that are kept.

    Attributes:
        most_connections: how many there may be. One more takes the place of an idle one, or is refused.
    """

    most_connections = 200

    def connection_made(self, transport: Any) -> None:
        """Wait for a request."""
        self._head: asyncio.TimerHandle | None = None
        self._body: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        self._head = self.loop.call_later(HEAD_SECONDS, self._too_slow)
        if len(self.connections) <= self.most_connections:
            return
        idle = next((each for each in self.connections if isinstance(each, KeptProtocol) and each.idle), None)
        if idle is not None:
            idle.close()
            return
        self._refuse(Problem(503, "overloaded", "Too many connections", headers={"Retry-After": str(BUSY_SECONDS)}))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        for timer in (self._head, self._body, self._stall, self._linger):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    @property
    def idle(self) -> bool:
        """Whether it waits for a further request of which nothing has arrived."""
        return self.timeout_keep_alive_task is not None and not self.transport.is_closing()

    def close(self) -> None:
        """Close the connection when all is sent, which may not take long."""
        self.transport.close()
        self._linger = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """The client reads more slowly than the answer is made."""
        super().pause_writing()
        self._stall = self.loop.call_later(STALL_SECONDS, self._look, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The client has read."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that is not used."""
        if not self.transport.is_closing():
            self.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - it is told in our own words
        """Refuse what is not HTTP."""
        if self._under_way() and self.cycle.response_started:
            self.transport.abort()
            return
        self._refuse(Problem(400, "malformed", "This is not a request in HTTP/1.1, or its head is too long"))

    def _refuse(self, problem: Problem) -> None:
        """Answer outside of any request, and close the connection."""
        body = problem.body
        length = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        headers = [*self.server_state.default_headers, *problem.response.raw_headers]
        headers = [(name, value) for name, value in headers if name != b"content-length"]
        try:
            parts = (
                h11.Response(status_code=problem.status, headers=[*headers, *length]),
                h11.Data(data=body),
                h11.EndOfMessage(),
            )
            for part in parts:
                self.transport.write(self.conn.send(part) or b"")
        except h11.LocalProtocolError:
            self.transport.abort()
            return
        self.close()

    def _watch(self) -> None:
        """Start and stop the timers of head and body."""
        under_way = self._under_way()
        receiving = under_way and self.cycle.more_body
        waits_for_head = not under_way and not self.idle
        self._head = self._timed(self._head, waits_for_head, HEAD_SECONDS)
        self._body = self._timed(self._body, receiving, BODY_SECONDS)

    def _under_way(self) -> bool:
        """Whether there is a request that is not answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _timed(self, timer: asyncio.TimerHandle | None, wanted: bool, seconds: float) -> asyncio.TimerHandle | None:  # noqa: FBT001
        if wanted and timer is None:
            return self.loop.call_later(seconds, self._too_slow)
        if not wanted and timer is not None:
            timer.cancel()
            return None
        return timer

    def _too_slow(self) -> None:
        self.transport.abort()

    def _look(self, before: int) -> None:
        now = self.transport.get_write_buffer_size()
        if before - now < LEAST_PROGRESS_BYTES:
            self.transport.abort()
            return
        self._stall = self.loop.call_later(STALL_SECONDS, self._look, now)


def kept_protocol(most_connections: int) -> type[KeptProtocol]:
    """The protocol with a limit of connections."""
    return type("Limited", (KeptProtocol,), {"most_connections": most_connections})

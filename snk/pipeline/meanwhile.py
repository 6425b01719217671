"""Does something while answers are awaited, and not before the requests are written."""

import asyncio
from collections.abc import Callable


class Meanwhile:
    """A function that is called soon.

    Attributes:
        failure: what it raised; then it is not called any more.
    """

    def __init__(self, call: Callable[[], None], failed: Callable[[], None]) -> None:
        """Assign.

        Args:
            call: what is done.
            failed: told that it raised something, which the loop itself would only log.
        """
        self.failure: Exception | None = None
        self._call = call
        self._failed = failed
        self._planned: asyncio.Handle | None = None

    def soon(self) -> None:
        """Call it after the next turn of the loop, in which the requests that are sent now are written."""
        if self._planned is None and self.failure is None:
            self._planned = asyncio.get_running_loop().call_soon(self._after_this_turn)

    def cancel(self) -> None:
        """Do not call it, if it was to be called."""
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None

    def _after_this_turn(self) -> None:
        self._planned = asyncio.get_running_loop().call_soon(self._now)

    def _now(self) -> None:
        self._planned = None
        try:
            self._call()
        except Exception as error:  # noqa: BLE001 - it is kept in `failure`, and raised by the owner
            self.failure = error
            self._failed()

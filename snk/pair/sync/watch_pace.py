"""How long a watch waits in its server, and how long it rests between two looks."""

from snk.core.bucket import Bucket

WAIT_SECONDS = 0.45  # what servers log as slow takes longer
LIVELY = ((0.1, 0.0005), (0.4, 0.002))
"""Until so long after a change, the server looks at its snapshot so often; in seconds, which it rounds up to 0.001."""
FIRST_SECONDS = 0.002  # the flows that were woken go first
LOOKS_PER_SECOND = 100.0
LOOKS_AT_ONCE = 25.0
QUIET_SECONDS = 0.05  # a look that took longer had to wait: nobody keeps the server busy
IN_VAIN_SECONDS = 0.002  # more after each look in turn that woke nobody: others write, or flows that are awake
MOST_REST_SECONDS = 0.02
LONG_REST_SECONDS = 0.04  # with many tables
VAIN_REST = 30  # as a multiple of a look, which costs a millisecond for 300 tables
ASKED_REST = 6  # as a multiple of asking tables, which then takes a seventh of the time at most


class WatchPace:
    """The pace of one watch: fast after a change that woke somebody, slow in a server that others keep busy."""

    def __init__(self, every_seconds: float) -> None:
        """Assign.

        Args:
            every_seconds: how often the server looks at its snapshot while nothing changes.
        """
        self._every_seconds = every_seconds
        self._looks = Bucket(LOOKS_PER_SECOND, LOOKS_AT_ONCE)
        self._changed_at = float("-inf")
        self._in_vain = 0

    def wait(self, now: float) -> tuple[float, float]:
        """For how long the server waits, and how often it looks at its snapshot meanwhile; in seconds.

        Args:
            now: monotonic time.
        """
        for until, every_seconds in LIVELY:
            if now - self._changed_at < until:
                return until, min(every_seconds, self._every_seconds)
        return WAIT_SECONDS, self._every_seconds

    def seen(self, asked: float, found: float, now: float, *, woken: bool) -> float:
        """How long to rest after a look that found a change, in seconds.

        Args:
            asked: when the look began; monotonic time, as the others.
            found: when it ended. While something ends all the time, what lies between is what it costs the server.
            now: when all was seen to, after asking tables.
            woken: whether anybody was woken.
        """
        self._changed_at = now
        took = found - asked
        self._in_vain = 0 if woken or took > QUIET_SECONDS else self._in_vain + 1
        asking = min(MOST_REST_SECONDS, ASKED_REST * (now - found))
        most = max(MOST_REST_SECONDS, min(LONG_REST_SECONDS, VAIN_REST * took))
        if too_soon := self._looks.take(now):
            too_soon += FIRST_SECONDS
            self._looks.take(now + too_soon)
        return max(FIRST_SECONDS, asking, min(most, IN_VAIN_SECONDS * self._in_vain), too_soon)

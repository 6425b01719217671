"""A token bucket: how often something may be done. Pure."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Bucket:
    """Admits ``rate`` per second in the long run, and ``burst`` at once.

    Source: Andrew Tanenbaum, "Computer Networks", on traffic shaping; the form that counts the time at which all is
    paid is the Generic Cell Rate Algorithm (ITU-T I.371).
    """

    rate: float
    burst: float = 1.0
    _paid_until: float = field(default=float("-inf"), init=False)

    def take(self, now: float) -> float:
        """Take one if there is one.

        Args:
            now: seconds of a clock that never goes back.

        Returns:
            0 if it was taken; otherwise the seconds after which there is one, and none was taken.
        """
        wait = self._paid_until - now - (self.burst - 1) / self.rate
        if wait > 0:
            return wait
        self._paid_until = max(self._paid_until, now) + 1 / self.rate
        return 0.0

    def idle(self, now: float) -> bool:
        """Whether nothing was taken for so long that this bucket is as good as a new one."""
        return self._paid_until <= now

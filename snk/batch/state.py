"""The states of a run, and which event leads from one to another. Pure.

::

    WAITING ──called──▶ RUNNING ──completed─────▶ COMPLETED
       ▲                   ├─────failed─────────▶ FAILED ────────┐
       │                   └─────recon_failed───▶ RECON_FAILED ──┤
       └────────────────────────────rerun────────────────────────┘

    WAITING, RUNNING ──cancelled──▶ CANCELLED      FAILED, RECON_FAILED ──skipped──▶ CANCELLED

A report may overtake the answer to the call that it belongs to, so what ends a running run also ends a waiting one.
That a run is overdue is a flag beside its state: it goes on all the same.
"""

from enum import StrEnum
from typing import Final

from snk.errors import Stop


class State(StrEnum):
    """What has become of a run, or of one file of it."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    RECON_FAILED = "RECON_FAILED"
    CANCELLED = "CANCELLED"


class Event(StrEnum):
    """What happens to a run.

    Attributes:
        CALLED: a consumer took the call.
        COMPLETED: the consumer reports that all files are loaded and reconciled.
        FAILED: the consumer reports that a file cannot be loaded, or the platform gave up calling.
        RECON_FAILED: the consumer reports that a file was loaded, and its records are not those of the provider.
        CANCELLED: a person, or the overlap policy, ended it.
        SKIPPED: a person decided that it is not run again.
        RERUN: a person has its failed files run again.
    """

    CALLED = "called"
    COMPLETED = "completed"
    FAILED = "failed"
    RECON_FAILED = "recon_failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    RERUN = "rerun"


LIVE: Final = frozenset((State.WAITING, State.RUNNING))
"""States in which a run is called."""
UNSETTLED: Final = frozenset((State.FAILED, State.RECON_FAILED))
"""States that a person should see to."""
_ENDS = {
    Event.COMPLETED: State.COMPLETED,
    Event.FAILED: State.FAILED,
    Event.RECON_FAILED: State.RECON_FAILED,
    Event.CANCELLED: State.CANCELLED,
}
TRANSITIONS: Final = {
    **{(state, event): end for state in LIVE for event, end in _ENDS.items()},
    **{(state, Event.CALLED): State.RUNNING for state in LIVE},
    **{(state, Event.SKIPPED): State.CANCELLED for state in (*UNSETTLED, State.WAITING)},
    **{(state, Event.RERUN): State.WAITING for state in UNSETTLED},
}
"""By state and event, the state that follows; what is not in it is refused."""

_COMMANDS: Final = {Event.CANCELLED: "cancel", Event.SKIPPED: "skip", Event.RERUN: "rerun"}
"""By which command a person makes an event happen."""
AGAIN: Final = "To do the same again, trigger it again, with another key"


class Refused(Stop):
    """An event cannot happen in this state."""


def following(state: State, event: Event) -> State:
    """The state after an event.

    Raises:
        Refused: the event cannot happen in this state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        possible = sorted(command for each, command in _COMMANDS.items() if (state, each) in TRANSITIONS)
        hint = f"Possible: {', '.join(possible)}" if possible else AGAIN
        raise Refused(f"a run that is {state} cannot be {event}", hint=hint) from None


def of_file(state: State, run: State) -> State:
    """The state of a file as it is told with its run: one that a run left behind when it ended has ended with it."""
    return run if state in LIVE and run not in LIVE else state


def of_files(states: list[State]) -> State:
    """The state of a run that follows from those of its files: run-level reconciliation is that all are complete."""
    for worst in (State.FAILED, State.RECON_FAILED, State.CANCELLED):
        if worst in states and not LIVE.intersection(states):
            return worst
    if LIVE.intersection(states):
        return State.WAITING if set(states) == {State.WAITING} else State.RUNNING
    return State.COMPLETED

"""States, events, and what the table of transitions promises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.batch.platform.turns import group_state
from snk.batch.state import AGAIN, LIVE, TRANSITIONS, UNSETTLED, Event, Refused, State, following, of_files

HINTS = {
    State.WAITING: "Possible: cancel, skip",
    State.RUNNING: "Possible: cancel",
    **dict.fromkeys(UNSETTLED, "Possible: rerun, skip"),
    **dict.fromkeys((State.COMPLETED, State.CANCELLED), AGAIN),
}
EVENTS = st.lists(st.sampled_from(Event))
STATES = st.lists(st.sampled_from(State), min_size=1)


@given(EVENTS)
def test_what_is_complete_or_cancelled_stays_so(events: list[Event]) -> None:
    state = State.WAITING
    for event in events:
        before = state
        try:
            state = following(state, event)
        except Refused:
            continue
        assert before not in (State.COMPLETED, State.CANCELLED)


def test_every_state_is_reached_and_every_event_is_possible_somewhere() -> None:
    assert set(TRANSITIONS.values()) == set(State)
    assert {event for _, event in TRANSITIONS} == set(Event)


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_what_the_table_does_not_allow_is_refused_with_what_is_possible(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert following(state, event) == TRANSITIONS[state, event]
        return
    with pytest.raises(Refused, match=rf"a run that is {state} cannot be {event}\. ") as raised:
        following(state, event)
    assert raised.value.hint == HINTS[state]


@given(STATES)
def test_a_run_is_complete_exactly_if_all_its_files_are(states: list[State]) -> None:
    assert (of_files(states) == State.COMPLETED) == (set(states) == {State.COMPLETED})
    assert (of_files(states) in LIVE) == bool(LIVE.intersection(states))


@given(STATES)
def test_a_group_side_by_side_ends_when_all_its_tasks_have(states: list[State]) -> None:
    state = group_state("ASYNC", states)
    assert (state is None) == bool(LIVE.intersection(states))
    assert state in (None, State.COMPLETED) or state in states


@given(STATES)
def test_a_group_in_order_ends_at_the_first_task_that_did_not_complete(states: list[State]) -> None:
    rest = [state for state in states if state != State.COMPLETED]
    expected = State.COMPLETED if not rest else None if rest[0] in LIVE else rest[0]
    assert group_state("SYNC", states) == expected


def test_a_person_has_to_settle_what_failed() -> None:
    assert {state for state, event in TRANSITIONS if event == Event.RERUN} == UNSETTLED

"""What a person does to one task or group: the same functions as the API."""

import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from snk.batch.definition import Group, Task
from snk.batch.platform import looking, pausing, triggering
from snk.batch.platform.api.bodies import MaybeWhy, Start
from snk.batch.platform.api.desk import Desk
from snk.batch.platform.defining import target_of
from snk.batch.platform.moves import note
from snk.batch.platform.portal import finding
from snk.batch.platform.portal.confirming import REASON, Asking, Field, given, reason_of, tried
from snk.batch.platform.portal.viewing import Values, Viewing, name_in
from snk.batch.platform.rows import Row
from snk.batch.platform.triggering import Triggered
from snk.core.words import counted
from snk.errors import Stop
from snk.http.portal.page import Deed, Done, Form, Page

MOST_KEPT = 2000
"""Characters of what somebody wrote, to be mended if something is wrong with it."""
FILE = "file."
OVERLAPS = {
    "skip": "this trigger is skipped while one is",
    "queue": "a new run waits for its turn, or this trigger joins one that waits for the same",
    "cancel": "it is cancelled, and a new run starts",
}
OUTCOMES = {"run": "started", "joined": "joined", "skipped": "skipped"}


class TaskDeeds:
    """The questions and what follows from them.

    Args:
        viewing: asks the tables.
        desk: changes them.
    """

    def __init__(self, viewing: Viewing, desk: Desk) -> None:
        self._viewing = viewing
        self._desk = desk

    def pages(self) -> list[Page]:
        """The questions."""
        return [
            Page("/tasks/{name}/trigger", "Trigger", "confirm.html", self._ask_trigger),
            Page("/tasks/{name}/pause", "Pause", "confirm.html", self._ask_pause),
            Page("/tasks/{name}/resume", "Resume", "confirm.html", self._ask_resume),
        ]

    def deeds(self) -> list[Deed]:
        """What follows."""
        return [
            Deed("/tasks/{name}/trigger", self._trigger),
            Deed("/tasks/{name}/pause", self._pause),
            Deed("/tasks/{name}/resume", self._resume),
        ]

    async def _ask_pause(self, request: Request) -> Values:
        name = name_in(request)

        async def look(connection: AsyncConnection) -> Values:
            task = await looking.task(connection, name)
            live = await finding.live_of(connection, name)
            preview = [
                "Nothing of it is called any more until it is resumed. Triggers are taken, and their runs wait.",
                f"It has {counted(live, 'live run')}. A call that is under way is finished.",
            ]
            if task["paused_by"] is not None:
                preview.append(f"{task['paused_by']} has paused it already: {task['paused_note']}")
            return {"asking": Asking(f"Pause {name}", preview, f"Pause {name}", f"/tasks/{name}")}

        return await self._viewing.asked(look)

    async def _ask_resume(self, request: Request) -> Values:
        name = name_in(request)

        async def look(connection: AsyncConnection) -> Values:
            task = await looking.task(connection, name)
            back, heading = f"/tasks/{name}", f"Resume {name}"
            if task["paused_by"] is None:
                return {"asking": Asking(heading, (), "", back, refusal="It is not paused.")}
            preview = [
                f"{task['paused_by']} has paused it: {task['paused_note']}",
                f"It has {counted(await finding.live_of(connection, name), 'live run')}.",
            ]
            reason = Field("reason", "Reason, for the audit, if there is one", "text")
            return {"asking": Asking(heading, preview, heading, back, (reason,))}

        return await self._viewing.asked(look)

    async def _ask_trigger(self, request: Request) -> Values:
        name, before = name_in(request), request.query_params

        async def look(connection: AsyncConnection) -> Values:
            task = await looking.task(connection, name)
            target = target_of(name, task["kind"], task["definition"])
            asking = Asking(
                f"Trigger {name}",
                _would(task, target, await finding.live_of(connection, name)),
                f"Trigger {name}",
                f"/tasks/{name}",
                _fields(target, before),
            )
            return {"asking": asking}

        return await self._viewing.asked(look)

    async def _pause(self, request: Request, form: Form) -> Done:
        async def doing() -> str:
            name, reason = name_in(request), reason_of(form)
            await self._desk.done(lambda each: pausing.pause(each, name, request.state.who, reason))
            return f"{name} is paused."

        return await tried(doing(), request.url.path.rpartition("/")[0], request.url.path)

    async def _resume(self, request: Request, form: Form) -> Done:
        async def doing() -> str:
            name, why = name_in(request), given(MaybeWhy, {"reason": form.get("reason", "").strip()})
            await self._desk.done(lambda each: pausing.resume(each, name, request.state.who, why.reason))
            return f"{name} is resumed."

        return await tried(doing(), request.url.path.rpartition("/")[0], request.url.path)

    async def _trigger(self, request: Request, form: Form) -> Done:
        async def doing() -> str:
            name, reason, start = name_in(request), reason_of(form), _start(form)
            trigger = triggering.Trigger(
                name, start.key or str(uuid.uuid4()), "person", request.state.who, start.payload, start.files
            )
            found = await self._desk.done(lambda each: _triggered(each, trigger, reason))
            again = ", as it was before by the same key" if found.again else ""
            run = f": run {found.run}" if found.run is not None else ""
            return f"{name} was triggered, and {OUTCOMES[found.outcome]}{again}{run}."

        kept = urlencode({name: value[:MOST_KEPT] for name, value in form.items()})
        return await tried(doing(), request.url.path.rpartition("/")[0], f"{request.url.path}?{kept}")


async def _triggered(connection: AsyncConnection, trigger: triggering.Trigger, reason: str) -> Triggered:
    """Trigger, and note why a person did."""
    found = await triggering.trigger(connection, trigger)
    if not found.again:
        subject = trigger.target if found.run is None else f"run {found.run}"
        await note(connection, trigger.who, "explained the trigger", subject, reason)
    return found


def _start(form: Form) -> Start:
    """What a form starts.

    Raises:
        Stop: it is not what the API takes.
    """
    text = form.get("payload", "").strip() or "{}"
    try:
        payload = json.loads(text)
    except ValueError as error:
        raise Stop(f"payload is not JSON: {error}") from None
    files = [name.removeprefix(FILE) for name in form if name.startswith(FILE)]
    start: dict[str, object] = {"payload": payload, "key": form.get("key", "").strip() or None}
    if files:
        start["files"] = files
    return given(Start, start)


def _would(task: Row, target: Task | Group, live: int) -> list[str]:
    """What a trigger would do."""
    now = f"It has {counted(live, 'live run')}: {OVERLAPS[target.overlap]}."
    told = [now if live else "A run of it starts at once: none is live."]
    if isinstance(target, Group):
        told.append(
            f"It runs {', '.join(target.tasks)}, {'in this order' if target.mode == 'SYNC' else 'side by side'}."
        )
    if task["paused_by"] is not None:
        told.append("It is paused: the run waits until it is resumed.")
    return told


def _fields(target: Task | Group, before: Mapping[str, Any]) -> list[Field]:
    names = sorted(target.files) if isinstance(target, Task) else []
    payload = Field("payload", "Payload, as JSON, for the consumer", "code", value=before.get("payload", "{}"))
    key = Field(
        "key", "Key: the same key starts one run, ever; without one, each trigger does", value=before.get("key", "")
    )
    reason = Field(REASON.name, REASON.label, REASON.kind, required=True, value=before.get("reason", ""))
    files = [
        Field(
            f"{FILE}{name}",
            f"Load the file {name}; with none chosen, all are loaded",
            "check",
            value=before.get(f"{FILE}{name}", ""),
        )
        for name in names
    ]
    return [reason, payload, key, *(files if len(names) > 1 else ())]

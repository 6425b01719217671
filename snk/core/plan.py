"""A plan: what would be changed, and the values from before, so that it can be shown, confirmed and applied once.

A plan never changes after it was made. Applying it compares each value with the plan's before-value and writes only
where they are equal; afterwards the check that led to the plan runs again.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

FORMAT = "snk-plan/1"
REFUSED = "Please answer Y, N or D. D shows the details."
NOBODY = "not changed: nobody answered; --yes answers"

Outcome = Literal["done", "overtaken"]
"""What became of one action: overtaken means that its before-value no longer held, so nothing was written."""


class Action(Protocol):
    """One change. Its text is what a person reads before confirming."""

    @property
    def as_json(self) -> dict[str, Any]:
        """The action as a JSON object, from which it can be restored."""


A = TypeVar("A", bound=Action)


@dataclass(frozen=True, slots=True)
class Plan(Generic[A]):
    """An immutable list of actions.

    Attributes:
        kind: the command that made it, such as ``resync``.
        subject: what it repairs, such as a project id.
        made_at: when it was made, in ISO 8601.
        actions: in the order in which they are applied.
    """

    kind: str
    subject: str
    made_at: str
    actions: tuple[A, ...]

    @property
    def id(self) -> str:
        """Identifies the plan by its content: 16 hexadecimal digits of its SHA-256."""
        return _digest(self._content())

    def written(self) -> str:
        """The plan as one JSON document."""
        return json.dumps({"format": FORMAT, "id": self.id, **self._content()}, indent=1)

    def _content(self) -> dict[str, Any]:
        actions = [action.as_json for action in self.actions]
        return {"kind": self.kind, "subject": self.subject, "made_at": self.made_at, "actions": actions}


def restored(text: str, kind: str, action_of: Callable[[dict[str, Any]], A]) -> Plan[A]:
    """The plan that a JSON document holds, exactly as it was made.

    Args:
        text: what `Plan.written` returned.
        kind: the kind of plan that is wanted.
        action_of: restores one action.

    Raises:
        ValueError: the document is not such a plan, or it was changed since it was made.
    """
    try:
        given = json.loads(text)
        content = {name: given[name] for name in ("kind", "subject", "made_at", "actions")}
        known = given["format"] == FORMAT and given["kind"] == kind
    except (ValueError, KeyError, TypeError):
        raise ValueError("it is not a plan") from None
    if not known:
        raise ValueError(f"it is a plan of `snk {content['kind']}` in format {given['format']}")
    if _digest(content) != given.get("id"):
        raise ValueError("it was changed since it was made")
    return Plan(kind, content["subject"], content["made_at"], tuple(action_of(each) for each in content["actions"]))


@dataclass(frozen=True, slots=True)
class Question:
    """A question that is answered by Y, N or D.

    Attributes:
        text: the question, without the answers.
        declined: what is said after N.
        exact: whether nothing but the question and the letters is shown, and nothing but the letters is an answer;
            otherwise it says what D does, and `yes` and `no` are answers, too.
    """

    text: str
    declined: str = "nothing was changed"
    exact: bool = False

    @property
    def prompt(self) -> str:
        """What is shown."""
        return f"{self.text} [Y/N/D]: " if self.exact else f"{self.text} D shows the details. [Y/N/D]: "

    def means(self, given: str) -> str:
        """The letter that an answer stands for; the answer itself if it is none."""
        wanted = given.strip().upper()
        return wanted if self.exact else {"YES": "Y", "NO": "N"}.get(wanted, wanted)


def confirmed(
    question: Question, answer: Callable[[str], str], show: Callable[[], None], tell: Callable[[str], None]
) -> bool:
    """Ask a person until the answer is Y or N; D shows the details and asks again.

    Args:
        question: what is asked.
        answer: shows a text and returns the person's answer; raises EOFError if there is nobody to answer.
        show: shows the details.
        tell: tells the person what became of the answer, if it is not Y.
    """
    while True:
        try:
            given = question.means(answer(question.prompt))
        except EOFError:
            tell(NOBODY)
            return False
        if given in ("Y", "N"):
            if given == "N":
                tell(question.declined)
            return given == "Y"
        if given == "D":
            show()
        else:
            tell(REFUSED)


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]

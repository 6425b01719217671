"""Judges what a consumer reports: a run is complete when each of its files is, with numbers that add up. Pure.

A consumer's word that all is well is not enough: what it says of each file has to say the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from snk.batch.state import State


@dataclass(frozen=True, slots=True)
class FileReport:
    """What a consumer says of one file.

    Attributes:
        expected: records that the provider has.
        received: records that came.
        applied: records that were merged.
        rejected: records that are not valid.
        digest: of the provider's records, if the consumer's are the same.
        reason: why it failed.
    """

    state: State
    expected: int | None = None
    received: int | None = None
    applied: int | None = None
    rejected: int | None = None
    digest: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a consumer says of a run.

    Attributes:
        fence: that of the call that it answers to.
        state: of the whole run.
        who: the consumer.
    """

    fence: int
    state: State
    who: str
    reason: str = ""
    files: Mapping[str, FileReport] = field(default_factory=dict)


def verdict(report: Report, wanted: Iterable[str]) -> Report:
    """What a report comes to.

    A file whose records do not add up is not reconciled, whatever the report says of it. A run that is said to be
    complete has failed if a file has, and is not reconciled if a file is neither complete nor failed, or if the report
    does not tell of it.

    Args:
        report: as the consumer sent it.
        wanted: the files that the run is to load.
    """
    files = {name: _added_up(each) for name, each in report.files.items()}
    if report.state != State.COMPLETED:
        return replace(report, files=files)
    untold = FileReport(State.RECON_FAILED, reason="the report says nothing of it")
    files |= {name: untold for name in sorted(wanted) if name not in files}
    failed = [name for name, each in files.items() if each.state == State.FAILED]
    unsettled = failed or [name for name, each in files.items() if each.state != State.COMPLETED]
    if not unsettled:
        return replace(report, files=files)
    state = State.FAILED if failed else State.RECON_FAILED
    return replace(report, state=state, reason=_told(unsettled[0], files[unsettled[0]]), files=files)


def _added_up(file: FileReport) -> FileReport:
    expected, applied, rejected = file.expected, file.applied, file.rejected
    if file.state != State.COMPLETED or expected is None or applied is None or rejected is None:
        return file
    if expected == applied + rejected:
        return file
    reason = f"{expected} records were expected, and {applied} were applied and {rejected} rejected"
    return replace(file, state=State.RECON_FAILED, reason=reason)


def _told(name: str, file: FileReport) -> str:
    return f"file {name} is {file.state}: {file.reason}" if file.reason else f"file {name} is {file.state}"

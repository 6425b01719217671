"""The settings of the hand-off: the table ``[handoff]`` of the file of settings."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, SecretStr

from snk.errors import SettingsError
from snk.handoff.allow import Allowed, allowed
from snk.handoff.codecs.hustdb import Hustdb
from snk.handoff.codecs.jsonl import Jsonl
from snk.handoff.outcome import HTTP, HUSTDB, ORIGINAL, Outcome, Rules
from snk.handoff.visitors import DEFAULT_PASSWORD
from snk.settings import Secret, SettingsTable, config_path, read_table

ANSWER = re.compile(r"[1-5](\d\d|xx)( versioned)?( removal)?")
WRITE_OUTCOMES = (
    'write "snk", "original", or a table of answers, such as {"404" = "dead", "4xx" = "again", "412 removal" = "done"};'
    f" what they may mean is {', '.join(get_args(Outcome))}"
)
_RULES = {"hustdb": HUSTDB, "jsonl": HTTP}


def _outcomes(given: object) -> object:
    """What is written for the answers.

    Raises:
        ValueError: it is not what may be written.
    """
    if isinstance(given, dict):
        for name, mean in given.items():
            if not ANSWER.fullmatch(name) or mean not in get_args(Outcome):
                raise ValueError(f"{name!r} = {mean!r} is wrong; {WRITE_OUTCOMES}")
    elif given not in ("snk", "original"):
        raise ValueError(WRITE_OUTCOMES)
    return given


class FrontSettings(SettingsTable):
    """Where `snk handoff front` listens, and the backends that it writes to.

    Attributes:
        backends: two or more addresses, each a host and a port.
    """

    host: str = "127.0.0.1"
    port: int = Field(8091, ge=0, le=65535, strict=True)
    backends: tuple[str, ...] = ()


class Handoff(SettingsTable):
    """The table ``[handoff]``.

    Attributes:
        logs: the folder with one folder for each backend, named HOST:PORT.
        state: the folder of progress and dead letters.
        auth_file: a file with one line, user:password, for the backends.
        threads: how many requests to one backend are under way at once.
        release_interval_ms: how often finished logs are deleted.
        checkdb_interval_ms: how often each backend is asked whether it is alive.
        checklog_interval_ms: how often the folder of logs is scanned.
        tries: of a line that its backend refuses for a while, before it is a dead letter.
        outcomes: ``snk``, ``original``, or a table of those answers that mean something else than usual.
        timeout_ms: for an answer; it grows up to eight times as long while answers come late.
        retry_first_ms: the first delay before a line is sent again; each further one is twice as long.
        retry_most_ms: the longest delay.
        line_bytes_max: a longer line is a dead letter.
        limit_bytes: the size of one backend's logs at which an alarm is raised, and new writes are refused; 0 is none.
        limit_age_seconds: the age of one backend's oldest log at which an alarm is raised; 0 is none.
        tls: whether backends are reached by https.
    """

    logs: Path = Path("/var/lib/snk/handoff/logs")
    state: Path = Path("/var/lib/snk/handoff/state")
    codec: Literal["hustdb", "jsonl"] = "hustdb"
    key_form: Literal["raw", "wire"] = "raw"
    auth_file: str = ""
    threads: int = Field(4, ge=1, le=1000, strict=True)
    release_interval_ms: int = Field(5000, ge=10, le=3_600_000, strict=True)
    checkdb_interval_ms: int = Field(5000, ge=10, le=3_600_000, strict=True)
    checklog_interval_ms: int = Field(60_000, ge=10, le=3_600_000, strict=True)
    tries: int = Field(20, ge=1, le=1_000_000, strict=True)
    outcomes: Annotated[Literal["snk", "original"] | dict[str, Outcome], BeforeValidator(_outcomes)] = "snk"
    timeout_ms: int = Field(10_000, ge=10, le=3_600_000, strict=True)
    retry_first_ms: int = Field(100, ge=1, le=600_000, strict=True)
    retry_most_ms: int = Field(30_000, ge=1, le=3_600_000, strict=True)
    line_bytes_max: int = Field(16 * 2**20, ge=1024, le=2**30, strict=True)
    limit_bytes: int = Field(0, ge=0, strict=True)
    limit_age_seconds: int = Field(0, ge=0, strict=True)
    tls: bool = Field(default=False, strict=True)
    host: str = "127.0.0.1"
    port: int = Field(8090, ge=0, le=65535, strict=True)
    user: str = "sync"
    password: Secret = SecretStr(DEFAULT_PASSWORD)
    access_allow: str = "127.0.0.1"
    front: FrontSettings = FrontSettings()

    @property
    def rules(self) -> Rules:
        """What the answers of backends mean."""
        if self.outcomes == "original":
            return ORIGINAL
        usual = _RULES[self.codec]
        if isinstance(self.outcomes, str):
            return usual
        return Rules({**usual.table, **self.outcomes}, usual.otherwise)

    @property
    def coding(self) -> Hustdb | Jsonl:
        """How the lines of logs are written."""
        return Hustdb(self.key_form) if self.codec == "hustdb" else Jsonl()

    @property
    def visitors(self) -> Allowed:
        """The addresses that may use the status service."""
        return allowed(self.access_allow)

    def authorization(self) -> str | None:
        """What every request to a backend carries as user:password; None if nothing.

        Raises:
            SettingsError: the file cannot be read, or does not hold one line of user:password.
        """
        if not self.auth_file:
            return None
        try:
            lines = Path(self.auth_file).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"handoff.auth_file is {self.auth_file!r}: {error}") from None
        if len(lines) != 1 or ":" not in lines[0]:
            hint = "Write one line: user:password"
            raise SettingsError(f"handoff.auth_file {self.auth_file!r} does not hold user:password", hint=hint)
        return lines[0]


def load_settings(given: Path | None = None) -> Handoff:
    """Read the settings.

    Args:
        given: the file that is named on the command line.

    Raises:
        SettingsError: names each wrong setting, its value unless it is a secret, and what is right.
    """
    settings = read_table("handoff", Handoff, given)
    try:
        _check(settings)
    except SettingsError as error:
        raise SettingsError(f"{config_path(given)}: {error.args[0]}", hint=error.hint) from None
    return settings.model_copy(update={"logs": settings.logs.absolute(), "state": settings.state.absolute()})


def load_coding(given: Path | None = None) -> Hustdb | Jsonl:
    """How lines are written, as the settings say; as hustdb does if there are none of the hand-off.

    Args:
        given: the file that is named on the command line.

    Raises:
        SettingsError: as `load_settings`.
    """
    path = config_path(given)
    text = path.read_text(errors="replace") if path.is_file() and os.access(path, os.R_OK) else ""
    if given is None and not re.search(r"^\s*\[handoff[.\]]", text, re.MULTILINE):
        return Hustdb()
    return load_settings(given).coding


def _check(settings: Handoff) -> None:
    """See whether the settings fit each other, and what they name exists.

    Raises:
        SettingsError: says what does not.
    """
    try:
        allowed(settings.access_allow)
    except ValueError as error:
        raise SettingsError(f"handoff.access_allow is {settings.access_allow!r}: {error}") from None
    settings.authorization()
    logs, state = settings.logs.absolute(), settings.state.absolute()
    if logs == state or logs in state.parents or state in logs.parents:
        hint = "Use folders beside each other"
        raise SettingsError(f"handoff.state is {str(state)!r}, and handoff.logs is {str(logs)!r}", hint=hint)
    if settings.retry_first_ms > settings.retry_most_ms:
        raise SettingsError(f"handoff.retry_first_ms is {settings.retry_first_ms}, above handoff.retry_most_ms")
    for name, usual in (("key_form", "raw"), ("outcomes", "snk")):
        value = getattr(settings, name)
        if settings.codec == "jsonl" and value in ("wire", "original"):
            hint = f'Leave it out, or write {name} = "{usual}"'
            raise SettingsError(f"handoff.{name} is {value!r}, which is for codec hustdb only", hint=hint)

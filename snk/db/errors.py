"""What the errors of PostgreSQL, the driver and the network mean to SNK: one table for each.

Codes of PostgreSQL (SQLSTATE): https://www.postgresql.org/docs/current/errcodes-appendix.html. A trigger may fail with
any of them, so the code alone does not tell whether a row is to blame: `snk.pair.table.narrow` finds out by leaving
rows out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socket import gaierror
from ssl import SSLCertVerificationError

from asyncpg.exceptions import ClientConfigurationError, InterfaceError, InternalClientError, PostgresError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from snk.errors import PairUnfit, RowRefused, SnkError, TooLarge, TooSlow, Unavailable

MEMORY = "53200"
CANCELLED = "57014"  # by statement_timeout, or by a person
FOREIGN_KEY_VIOLATION = "23503"
NOT_IN_ENCODING = ("22021", "22P05")
READ_ONLY = "25006"

POOLED_HINT = "SNK needs a connection of its own: to PostgreSQL itself, or through a pooler in session mode"
URL_HINT = (
    "Use the parameters that PostgreSQL's own clients know; sslmode=verify-ca and verify-full need sslrootcert=FILE,"
    " with the authorities whose certificates are trusted"
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What becomes of an error.

    Attributes:
        family: the error to raise instead.
        hint: what would be right.
    """

    family: type[SnkError]
    hint: str = ""


# By code, or by class of codes: the first two characters. A longer key goes first.
_SQLSTATES: dict[str, Meaning] = {
    # These pass by themselves.
    "54000": Meaning(TooLarge),  # a limit of the program, such as the size of an array
    MEMORY: Meaning(TooLarge),
    CANCELLED: Meaning(TooSlow),
    READ_ONLY: Meaning(Unavailable, "It is in read-only mode; SNK continues by itself when that ends"),
    "53100": Meaning(Unavailable, "SNK continues by itself when there is space again"),
    "53300": Meaning(
        Unavailable,
        "SNK continues by itself when it can connect; it needs up to six connections per table and five more",
    ),
    # These pass only when a person changes something.
    "26000": Meaning(PairUnfit, POOLED_HINT),  # a prepared statement that is gone,
    "42P05": Meaning(PairUnfit, POOLED_HINT),  # or there before it was made: another session than its own
    "28": Meaning(PairUnfit, "Check the user and the password"),
    "3D": Meaning(PairUnfit, "Create the database, or fix the setting"),
    "3F": Meaning(PairUnfit, "Run `snk init`"),
    "42501": Meaning(PairUnfit, "Ask an owner of the tables to run `snk init --role NAME`, which grants the rights"),
    "42": Meaning(PairUnfit, "Run `snk doctor`, which checks the table, its columns and the user's rights"),
}

# Where a connection is refused, these codes say something else.
_CONNECTING: dict[str, Meaning] = {
    "08P01": Meaning(PairUnfit, POOLED_HINT),  # PgBouncer's for a parameter that it does not pass on
    "42704": Meaning(PairUnfit, URL_HINT),  # a parameter that the server does not know
}

# Of the transaction as a whole (deadlocks), of resources that run out, and of a server that is told to stop.
_PASSING = ("40", "53", "57")
# Mostly of the statement, the session or the server. But a trigger may fail so for a single row, as when it names a
# table without its schema, calls another server, or meets a damaged index.
DOUBTFUL = ("08", "0A", "24", "25", "26", "28", "2D", "34", "3B", "3D", "3F", "42", "55", "58", "72", "F0", "HV", "XX")
# Of the session alone.
_NOT_OF_ROWS = ("26000", "42P05", READ_ONLY)
# A row that fails so when it is alone in its batch costs the server too much: it is set aside.
COSTLY = (MEMORY, CANCELLED)


def sqlstate(error: DBAPIError) -> str:
    """The five characters by which PostgreSQL names the error, or an empty string for one without."""
    return str(getattr(error.orig, "sqlstate", "") or "")


def may_be_of_a_row(error: DBAPIError) -> bool:
    """Whether the error may go away when a row is left out."""
    state = sqlstate(error)
    if error.connection_invalidated:
        return False  # the driver gives a lost connection a code of its own, as if the server had spoken
    return bool(state) and state[:2] not in _PASSING and state not in _NOT_OF_ROWS


def doubtful(state: str) -> bool:
    """Whether such an error usually has another cause than what a row holds."""
    return state[:2] in DOUBTFUL


def from_server(error: DBAPIError, address: str, *, connecting: bool = False) -> SnkError:
    """What SQLAlchemy raised, as one of SNK's errors.

    Args:
        error: as it was raised.
        address: whose it is.
        connecting: a connection was refused.
    """
    state = sqlstate(error)
    words = f"{address}: {plain(error)}"
    if isinstance(_cause(error), ClientConfigurationError):
        return PairUnfit(words, hint=URL_HINT)
    table = {**_SQLSTATES, **_CONNECTING} if connecting else _SQLSTATES
    if meaning := table.get(state) or table.get(state[:2]):
        return meaning.family(words, hint=meaning.hint)
    if state and not doubtful(state) and state[:2] not in _PASSING:
        return RowRefused(words)
    return Unavailable(words)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is raised without an answer of a server.

    Attributes:
        raised: of these types.
        says: what to look for in its words, where the type alone does not tell.
        family: the error to raise instead.
        words: what to say of it, or an empty string for its own words.
        hint: what would be right; ``{label}`` stands for the server's, in capitals.
    """

    raised: tuple[type[BaseException], ...]
    family: type[SnkError] = Unavailable
    says: str = ""
    words: str = ""
    hint: str = ""

    def fits(self, error: BaseException) -> bool:
        """Whether this is what was raised."""
        return isinstance(error, self.raised) and self.says in str(error)


# In this order: the first that fits.
_FAULTS = (
    Fault(
        (SSLCertVerificationError,),
        PairUnfit,
        words="its certificate was rejected: {reason}",
        hint="It must be valid today, for this host, and signed by an authority in sslrootcert",
    ),
    Fault((gaierror,), hint="Check the host name in {label}_DB_URL or {label}_DB_HOST"),
    # The driver has no type of its own for it.
    Fault(
        (ConnectionError,),
        PairUnfit,
        says="rejected SSL upgrade",
        words="it does not offer TLS",
        hint="Enable TLS on the server, or set another sslmode in the URL",
    ),
    Fault((OSError, EOFError, SQLAlchemyError)),
    # The driver stumbles over a connection that ended, in words of its own.
    Fault((PostgresError, InterfaceError, InternalClientError)),
    # So does uvloop, which has no type for it either.
    Fault((RuntimeError,), says="the handler is closed"),
)


@contextmanager
def translated(address: str, label: str, most_seconds: float | None) -> Iterator[None]:
    """Turn what SQLAlchemy, the driver or the network raise inside the block into SNK's errors.

    Args:
        address: of the server, as it is told of.
        label: ``first`` or ``second``.
        most_seconds: how long a statement may take.
    """
    try:
        yield
    except SnkError:
        raise
    except DBAPIError as error:
        raise from_server(error, address) from error
    except TimeoutError as error:
        raise Unavailable(f"{address}: a statement took longer than {most_seconds} s") from error
    except Exception as error:
        if (fault := next((fault for fault in _FAULTS if fault.fits(error)), None)) is None:
            raise
        reason = getattr(error, "verify_message", "").rstrip(".")
        words = fault.words.format(reason=reason) or plain(error)
        raise fault.family(f"{address}: {words}", hint=fault.hint.format(label=label.upper())) from error


def plain(error: BaseException) -> str:
    """The server's or the system's own sentence: no statement, no parameters, no class names of the driver."""
    cause = _cause(error)
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__


def _cause(error: BaseException) -> BaseException:
    """What the driver raised, of which SQLAlchemy made its own error."""
    orig = getattr(error, "orig", None)
    return (orig.__cause__ or orig) if isinstance(orig, BaseException) else error

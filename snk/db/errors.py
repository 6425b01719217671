"""Classification of errors: one table for PostgreSQL's codes, one for errors of the driver and the network.

Codes of PostgreSQL (SQLSTATE): https://www.postgresql.org/docs/current/errcodes-appendix.html. A trigger may raise any
of them, so the code alone does not tell whether a row is to blame: `snk.pair.table.narrow` finds out by leaving rows
out.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ECONNREFUSED
from socket import gaierror
from ssl import SSLCertVerificationError, SSLError

from asyncpg.exceptions import ClientConfigurationError, InterfaceError, InternalClientError, PostgresError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from snk.errors import DatabaseUnfit, RowRefused, SnkError, TooLarge, TooSlow, Unavailable

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
    """How SNK treats an error.

    Attributes:
        family: the error to raise instead.
        hint: how to fix the problem.
    """

    family: type[SnkError]
    hint: str = ""


# Keys are codes, or classes of codes: the first two characters. A full code takes precedence.
_SQLSTATES: dict[str, Meaning] = {
    # These errors pass without intervention.
    "54000": Meaning(TooLarge),  # a program limit, such as the size of an array
    MEMORY: Meaning(TooLarge),
    CANCELLED: Meaning(TooSlow),
    READ_ONLY: Meaning(Unavailable, "It is in read-only mode; SNK continues by itself when that ends"),
    "53100": Meaning(Unavailable, "SNK continues by itself when there is space again"),
    "53300": Meaning(
        Unavailable,
        "SNK continues by itself when it can connect; SNK_CONNECTIONS says how many it opens",
    ),
    # These errors last until a person changes something.
    "26000": Meaning(DatabaseUnfit, POOLED_HINT),  # a prepared statement has disappeared,
    "42P05": Meaning(DatabaseUnfit, POOLED_HINT),  # or exists before it was prepared: the session is shared
    "28": Meaning(DatabaseUnfit, "Check the user and the password"),
    "3D": Meaning(DatabaseUnfit, "Create the database, or fix the setting"),
    "3F": Meaning(DatabaseUnfit, "Run `snk init`"),
    "42501": Meaning(
        DatabaseUnfit, "Ask an owner of the tables to run `snk init --role NAME`, which grants the rights"
    ),
    "42": Meaning(DatabaseUnfit, "Run `snk doctor`, which checks the table, its columns and the user's rights"),
}

# When the server refuses a connection, this code means a parameter that the server does not know.
_UNKNOWN_PARAMETER = "42704"
# PgBouncer refuses a parameter that it does not forward with the code for everything it says, including that its server
# is down. Only the text tells.
_UNFORWARDED_PARAMETER = "unsupported startup parameter"

# Errors of the whole transaction (deadlocks), of exhausted resources, and of a server that is shut down.
_PASSING = ("40", "53", "57")
# Usually errors of the statement, the session or the server. But a trigger may raise them for a single row, for example
# when it names a table without its schema, calls another server, or reads a damaged index.
DOUBTFUL = ("08", "0A", "24", "25", "26", "28", "2D", "34", "3B", "3D", "3F", "42", "55", "58", "72", "F0", "HV", "XX")
# Errors of the session only, never of a row.
_NOT_OF_ROWS = ("26000", "42P05", READ_ONLY)
# A row that fails with one of these codes when it is alone in its batch costs the server too much: it is set aside.
COSTLY = (MEMORY, CANCELLED)


def sqlstate(error: DBAPIError) -> str:
    """The SQLSTATE of the error (five characters), or an empty string if it has none."""
    return str(getattr(error.orig, "sqlstate", "") or "")


def refused(error: SnkError) -> bool:
    """Whether the server refused a statement, so that its connection is as good as before."""
    cause = error.__cause__
    return isinstance(cause, DBAPIError) and not cause.connection_invalidated and bool(sqlstate(cause))


def may_be_of_a_row(error: DBAPIError) -> bool:
    """Whether the error may go away when a row is left out."""
    state = sqlstate(error)
    if error.connection_invalidated:
        return False  # for a lost connection the driver invents a code, as if the server had sent it
    return bool(state) and state[:2] not in _PASSING and state not in _NOT_OF_ROWS


def doubtful(state: str) -> bool:
    """Whether an error with this code usually has another cause than the content of a row."""
    return state[:2] in DOUBTFUL


def from_server(error: DBAPIError, address: str, *, connecting: bool = False) -> SnkError:
    """Translate an error of SQLAlchemy into one of SNK's errors.

    Args:
        error: the error as raised.
        address: the server's address, for the message.
        connecting: the server refused a connection.
    """
    state = sqlstate(error)
    words = f"{address}: {plain(error)}"
    if isinstance(_cause(error), ClientConfigurationError) or (connecting and state == _UNKNOWN_PARAMETER):
        return DatabaseUnfit(words, hint=URL_HINT)
    if connecting and _UNFORWARDED_PARAMETER in words:
        return DatabaseUnfit(words, hint=POOLED_HINT)
    if meaning := _SQLSTATES.get(state) or _SQLSTATES.get(state[:2]):
        return meaning.family(words, hint=meaning.hint)
    if state and not doubtful(state) and state[:2] not in _PASSING:
        return RowRefused(words)
    return Unavailable(words)


@dataclass(frozen=True, slots=True)
class Fault:
    """An error that is raised without an answer from the server.

    Attributes:
        raised: the types of the error.
        says: text to look for in its message, if the type alone is not specific.
        family: the error to raise instead.
        words: the message to use, or an empty string for the error's own message.
        hint: how to fix the problem.
    """

    raised: tuple[type[BaseException], ...]
    family: type[SnkError] = Unavailable
    says: str = ""
    words: str = ""
    hint: str = ""

    def fits(self, error: BaseException) -> bool:
        """Whether this entry matches the error."""
        return isinstance(error, self.raised) and self.says in str(error)


# The first entry that matches applies.
_FAULTS = (
    Fault(
        (SSLCertVerificationError,),
        DatabaseUnfit,
        words="its certificate was rejected: {reason}",
        hint="It must be valid today, for this host, and signed by an authority in sslrootcert",
    ),
    Fault((gaierror,), hint="Check its host name in the settings"),
    # If a name has several addresses, the error has the type of none of them.
    Fault(
        (OSError,),
        says=f"[Errno {ECONNREFUSED}]",
        words="nothing accepts connections there",
        hint="Start the database server, or fix host and port in the settings",
    ),
    # The driver has no specific type for this error.
    Fault(
        (ConnectionError,),
        DatabaseUnfit,
        says="rejected SSL upgrade",
        words="it does not offer TLS",
        hint="Enable TLS on the server, or set another sslmode in the URL",
    ),
    Fault((OSError, EOFError, SQLAlchemyError)),
    # When a connection has ended, the driver raises errors of its own.
    Fault((PostgresError, InterfaceError, InternalClientError)),
    # So does uvloop, which has no specific type for it.
    Fault((RuntimeError,), says="the handler is closed"),
)


@contextmanager
def translated(address: str, most_seconds: float | None) -> Iterator[None]:
    """Translate errors of SQLAlchemy, the driver or the network inside the block into SNK's errors.

    Args:
        address: the server's address, as messages show it.
        most_seconds: the time limit for a statement.
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
        raise fault.family(f"{address}: {words}", hint=fault.hint) from error


def plain(error: BaseException) -> str:
    """The first line of the server's or system's message: no statement, no parameters, no class names of the driver."""
    cause = _cause(error)
    if isinstance(cause, OSError) and cause.errno and cause.strerror and not isinstance(cause, SSLError):
        # Without its number, and without the address, which the caller names.
        return cause.strerror if isinstance(cause, gaierror) else os.strerror(cause.errno)
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__


def _cause(error: BaseException) -> BaseException:
    """The driver's error that SQLAlchemy wrapped."""
    orig = getattr(error, "orig", None)
    return (orig.__cause__ or orig) if isinstance(orig, BaseException) else error

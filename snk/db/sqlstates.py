"""What the codes by which PostgreSQL names its errors (SQLSTATE) mean to SNK.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html. A trigger may fail with any of them, so the code
alone does not tell whether a row is to blame: `snk.pair.table.narrow` finds out by leaving rows out.
"""

from sqlalchemy.exc import DBAPIError

from snk.errors import PairUnfit, RowRefused, SnkError, TooLarge, TooSlow, Unavailable

MEMORY = "53200"
CANCELLED = "57014"  # by statement_timeout, or by a person
FOREIGN_KEY_VIOLATION = "23503"
NOT_IN_ENCODING = ("22021", "22P05")

# What passes by itself, and what there is to say of it.
_WAITED_FOR: dict[str, tuple[type[Unavailable], str]] = {
    "54000": (TooLarge, ""),  # a limit of the program, such as the size of an array
    MEMORY: (TooLarge, ""),
    CANCELLED: (TooSlow, ""),
    "25006": (Unavailable, "It is in read-only mode; SNK goes on by itself when that ends"),
    "53100": (Unavailable, "SNK goes on by itself when there is room again"),
    "53300": (Unavailable, "SNK goes on by itself when it may connect: up to six connections a table, and five more"),
}

# A prepared statement that is gone, or there before it was made: another session than the one it was made in.
_POOLED = ("26000", "42P05")
POOLED_HINT = "SNK needs a connection of its own: to PostgreSQL itself, or through a pooler in session mode"

URL_HINT = "Use the parameters that PostgreSQL's own clients know"
NO_AUTHORITY = "Name the authorities whose certificates are believed by sslrootcert=FILE in its URL"

# Classes of SQLSTATE that pass only when a person changes something.
_UNFIT = {
    "28": "Use a user and a password that the server knows",
    "3D": "Create the database, or fix the setting",
    "3F": "Run `snk init`",
    "42501": "Have an owner of the tables run `snk init --role NAME`, which grants what is needed",
    "42": "`snk doctor` says how the table, its columns and the user's rights must be",
}

# Of the transaction as a whole (deadlocks), of resources that run out, and of a server that is told to stop.
_PASSING = ("40", "53", "57")
# Mostly of the statement, the session or the server. But a trigger may fail so for a single row, as when it names a
# table without its schema, calls another server, or meets a damaged index.
DOUBTFUL = ("08", "0A", "24", "25", "26", "28", "2D", "34", "3B", "3D", "3F", "42", "55", "58", "72", "F0", "HV", "XX")
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
    return bool(state) and state[:2] not in _PASSING and state not in (*_POOLED, "25006")


def doubtful(state: str) -> bool:
    """Whether such an error usually has another cause than what a row holds."""
    return state[:2] in DOUBTFUL


def from_server(error: DBAPIError, address: str) -> SnkError:
    """What SQLAlchemy raised, as one of SNK's errors; ``address`` says whose it is."""
    state = sqlstate(error)
    words = f"{address}: {plain(error)}"
    if state in _WAITED_FOR:
        family, hint = _WAITED_FOR[state]
        return family(words, hint=hint)
    if state in _POOLED or "unsupported startup parameter" in words:
        return PairUnfit(words, hint=POOLED_HINT)
    misread = type(getattr(error.orig, "__cause__", None)).__name__ == "ClientConfigurationError"
    if misread or "unrecognized configuration parameter" in words:
        return PairUnfit(words, hint=NO_AUTHORITY if "root certificate" in words else URL_HINT)
    if advice := _UNFIT.get(state) or _UNFIT.get(state[:2]):
        return PairUnfit(words, hint=advice)
    if state and not doubtful(state) and state[:2] not in _PASSING:
        return RowRefused(words)
    return Unavailable(words)


def plain(error: BaseException) -> str:
    """The server's or the system's own sentence: no statement, no parameters, no class names of the driver."""
    text = str(getattr(error, "orig", None) or error).strip().splitlines()
    first = text[0] if text else type(error).__name__
    if first.startswith("<class"):
        first = first.partition(">:")[2].strip()
    return first

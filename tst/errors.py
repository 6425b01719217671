"""Every error TST raises, by what the caller does about it.

::

    TstError          carries its whole text: what is wrong, where, and what would be right
    ├── Unavailable   a server cannot be reached, went away, or asked to be tried again: wait
    ├── TableMissing  the table is not there yet: at the start wait for it, later stop
    ├── RowsPresent   the server already holds these uuids
    └── Stop          a person has to change something first; exit code 2

No message ever holds a password: servers are named by their label (``first``, ``second``) and address.
"""


class TstError(Exception):
    """Something TST cannot do, in words for the person who can."""


class Unavailable(TstError):  # noqa: N818 - named for what the caller does about it
    """A server cannot be reached, went away, or asked to be tried again."""


class TableMissing(TstError):  # noqa: N818 - as Unavailable
    """The table is not there."""


class RowsPresent(TstError):  # noqa: N818 - as Unavailable
    """The server already holds a row with one of these uuids; nothing of the batch was written."""


class Stop(TstError):  # noqa: N818 - as Unavailable
    """A person has to change something first."""

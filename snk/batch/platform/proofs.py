"""What the platform proves itself by to consumers."""

from collections.abc import Mapping

from snk.errors import SettingsError
from snk.http.auth.credentials import AuthTable, Credentials


class Proofs:
    """Credentials by name."""

    def __init__(self, named: Mapping[str, AuthTable], own: AuthTable) -> None:
        """Assign.

        Args:
            named: the tables ``[batch.credentials.NAME]``.
            own: for tasks that name none.
        """
        self._named = {name: Credentials(table) for name, table in named.items()}
        self._own = Credentials(own)

    def header(self, name: str) -> str | None:
        """The header ``Authorization`` of a call that is made now; None if there is none.

        Args:
            name: which credentials; empty for the platform's own.

        Raises:
            SettingsError: there are none of this name, or a key cannot be read.
        """
        if not name:
            return self._own.header()
        if name not in self._named:
            listed = ", ".join(sorted(self._named)) or "none"
            hint = f"Add [batch.credentials.{name}], or name another one by `auth` of the task; there are: {listed}"
            raise SettingsError(f"there are no credentials {name!r}", hint=hint)
        return self._named[name].header()

    def check(self) -> None:
        """See that every key can be read.

        Raises:
            SettingsError: one cannot.
        """
        for name in self._named:
            try:
                self.header(name)
            except SettingsError as error:
                raise SettingsError(f"batch.credentials.{name}: {error}") from None

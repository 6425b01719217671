"""``snk SERVICE keys``: the service's own signing keys."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import typer

from snk.errors import SettingsError
from snk.http.auth.keys import KeyFolder, Published
from snk.http.auth.settings import KeySettings
from snk.options import Config, Json


def keys_group(service: str, load: Callable[[Path | None], KeySettings], command: str = "") -> typer.Typer:
    """The commands for the keys of a service.

    Args:
        service: its name, as in ``SERVICE.auth.keys``.
        load: reads the settings of its keys from a file.
        command: what it is called by; ``snk SERVICE`` if it is empty.
    """
    command = command or f"snk {service}"
    words = f"The service's own signing keys, in the folder {service}.auth.keys."
    app = typer.Typer(help=words, no_args_is_help=True)

    @app.command("list")
    def listed(*, as_json: Json = False, config: Config = None) -> None:
        """List the public keys, the newest first. Exit code 0 if one of them signs, 1 if none does."""
        found = folder_of(service, load(config), command).listed()
        if as_json:
            print(json.dumps([each._asdict() for each in found]))
        else:
            for each in found:
                print(_told(each))
            if not found:
                print(f"no keys; `{command} keys rotate` makes one")
        raise typer.Exit(0 if any(each.signs for each in found) else 1)

    @app.command()
    def rotate(*, as_json: Json = False, config: Config = None) -> None:
        """Make a new key and sign with it from now on; the service needs no restart, and older tokens stay valid."""
        kid = folder_of(service, load(config), command).rotate(time.time())
        print(json.dumps({"kid": kid}) if as_json else f"new tokens are signed with {kid}")

    return app


def folder_of(service: str, auth: KeySettings, command: str = "") -> KeyFolder:
    """The folder of keys of a service.

    Raises:
        SettingsError: the settings name none.
    """
    if not auth.keys:
        hint = "Set it to a folder, such as /etc/snk/keys"
        raise SettingsError(f"{service}.auth.keys is not set", hint=hint)
    return KeyFolder(Path(auth.keys), auth.algorithm, service, command)


def _told(key: Published) -> str:
    made = datetime.fromtimestamp(key.made, UTC).isoformat()
    if key.signs:
        what = "signs"
    elif key.ends is None:
        what = "never signed"
    else:
        what = f"its last token ends at {datetime.fromtimestamp(key.ends, UTC).isoformat()}"
    return f"{key.kid}  {key.algorithm}  made {made}  {what}"

"""``snk serve keys``: the service's own signing keys."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer

from snk.errors import SettingsError
from snk.options import Config, Json
from snk.serve.auth.keys import KeyFolder, Published
from snk.serve.auth.settings import AuthSettings
from snk.serve.settings import load_settings


def group(_: Sequence[str]) -> typer.Typer:
    """The commands."""
    app = typer.Typer(help="The service's own signing keys, in the folder serve.auth.keys.", no_args_is_help=True)
    app.command("list")(listed)
    app.command()(rotate)
    return app


def listed(*, as_json: Json = False, config: Config = None) -> None:
    """List the public keys, the newest first. Exit code 0 if one of them signs, 1 if none does."""
    found = folder_of(load_settings(config).auth).listed()
    if as_json:
        print(json.dumps([each._asdict() for each in found]))
    else:
        for each in found:
            print(_told(each))
        if not found:
            print("no keys; `snk serve keys rotate` makes one")
    raise typer.Exit(0 if any(each.signs for each in found) else 1)


def rotate(*, as_json: Json = False, config: Config = None) -> None:
    """Make a new key and sign with it from now on; the service needs no restart, and older tokens stay valid."""
    kid = folder_of(load_settings(config).auth).rotate(time.time())
    print(json.dumps({"kid": kid}) if as_json else f"new tokens are signed with {kid}")


def folder_of(auth: AuthSettings) -> KeyFolder:
    """The folder of keys.

    Raises:
        SettingsError: the settings name none.
    """
    if not auth.keys:
        raise SettingsError("serve.auth.keys is not set", hint="Set it to a folder, such as /etc/snk/keys")
    return KeyFolder(Path(auth.keys), auth.algorithm)


def _told(key: Published) -> str:
    made = datetime.fromtimestamp(key.made, UTC).isoformat()
    if key.signs:
        what = "signs"
    elif key.ends is None:
        what = "never signed"
    else:
        what = f"its last token ends at {datetime.fromtimestamp(key.ends, UTC).isoformat()}"
    return f"{key.kid}  {key.algorithm}  made {made}  {what}"

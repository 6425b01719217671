"""The service's own signing keys: a folder with one private key, and the public keys of tokens that may still be valid.

``signing.json`` is the private key that signs, a JWK. ``jwks.json`` is a JWK Set of public keys: that of the signing
key, that of the one before, and older ones for as long as a token of theirs lives. Both are readable to their owner
only; give a copy of the public keys to others who need them.

A rotation publishes the new public key before the new private key signs, so that a crash in between leaves a key that
nobody uses, and never a token that nobody can check. Publishing works without a restart, as the service reads
``jwks.json`` when it changes. The members ``iat`` and ``exp`` of a public key are the time at which it was made, and
the time from which on no token of it can be valid, in seconds since 1970; ``exp`` is there once it signs no more.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from joserfc.jwk import ECKey, OKPKey

from snk.errors import SettingsError
from snk.files.atomic import sync_folder, write_whole
from snk.http.auth.credentials import LEEWAY_SECONDS, TOKEN_SECONDS, SigningKey, read_signing_key

SIGNING = "signing.json"
PUBLIC = "jwks.json"
OUTLIVES_SECONDS = TOKEN_SECONDS + LEEWAY_SECONDS
OWNER_ONLY = 0o600


class Published(NamedTuple):
    """A public key of the folder.

    Attributes:
        made: when, in seconds since 1970.
        ends: from when on no token of it can be valid; None if it signs.
        signs: whether new tokens are signed with it.
    """

    kid: str
    algorithm: str
    made: int
    ends: int | None
    signs: bool


class KeyFolder:
    """The keys in a folder."""

    def __init__(self, folder: Path, algorithm: Literal["ES256", "Ed25519"], service: str, command: str = "") -> None:
        """Assign.

        Args:
            folder: where they are, or will be.
            algorithm: of new ones.
            service: whose they are, as in ``SERVICE.auth.keys``.
            command: what it is called by; ``snk SERVICE`` if it is empty.
        """
        self._folder = folder
        self._setting = f"{service}.auth.keys"
        self._command = f"`{command or f'snk {service}'} keys rotate`"
        self._algorithm: Literal["ES256", "Ed25519"] = algorithm

    def signing(self) -> SigningKey:
        """The key that signs.

        Raises:
            SettingsError: there is none, or it is for another algorithm.
        """
        if not (self._folder / SIGNING).exists():
            hint = f"Create one with {self._command}"
            raise SettingsError(f"{self._setting} is {str(self._folder)!r}, which holds no signing key", hint=hint)
        return read_signing_key(self._setting, self._folder / SIGNING, self._algorithm)

    def listed(self) -> list[Published]:
        """The public keys, the newest first.

        Raises:
            SettingsError: a file cannot be read.
        """
        signing = self._signing_kid()
        return [
            Published(each["kid"], each["alg"], each["iat"], each.get("exp"), each["kid"] == signing)
            for each in self._public()
        ]

    def rotate(self, now: float) -> str:
        """Make a new key, and sign with it from now on. The first call creates the folder.

        Args:
            now: the time in seconds since 1970.

        Returns:
            The name of the key.

        Raises:
            SettingsError: the folder cannot be written, or others can read it.
        """
        self._create()
        with self._locked():
            private = _generated(self._algorithm)
            kid = private.thumbprint()
            about = {"kid": kid, "use": "sig", "alg": self._algorithm, "iat": int(now)}
            public = [{**private.as_dict(private=False), **about}, *self._outliving(now)]
            write_whole(self._folder / PUBLIC, json.dumps({"keys": public}, indent=2) + "\n", OWNER_ONLY)
            sync_folder(self._folder)  # the private key must not be there after a crash, and its public key not
            whole = {**private.as_dict(private=True), **about}
            write_whole(self._folder / SIGNING, json.dumps(whole, indent=2) + "\n", OWNER_ONLY)
            sync_folder(self._folder)
        return kid

    def _outliving(self, now: float) -> Iterator[dict[str, Any]]:
        """Older public keys that are still needed; one that never signed, because of a crash, is not."""
        signing = self._signing_kid()
        for each in self._public():
            if each["kid"] == signing:
                yield {**each, "exp": int(now) + OUTLIVES_SECONDS}
            elif each.get("exp", 0) > now:
                yield each

    def _public(self) -> list[dict[str, Any]]:
        found = self._read(PUBLIC)
        return found["keys"] if found else []

    def _signing_kid(self) -> str | None:
        found = self._read(SIGNING)
        return found["kid"] if found else None

    def _read(self, name: str) -> dict[str, Any] | None:
        """What a file holds; None if it does not exist."""
        path = self._folder / name
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SettingsError(f"{self._setting}: {str(path)!r} cannot be read: {error.strerror}") from None
        except ValueError:
            found = None
        if not _is_ours(name, found):
            hint = f"Move it away, and run {self._command}: tokens of the keys in it are refused then"
            raise SettingsError(f"{self._setting}: {str(path)!r} was not written by {self._command}", hint=hint)
        return dict(found)

    def _create(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self._folder.stat()
        except OSError as error:
            raise SettingsError(f"{self._setting} is {str(self._folder)!r}: {error.strerror}") from None
        if found.st_uid != os.geteuid():
            # The service could not read what another user writes here.
            hint = "Run this as that user"
            raise SettingsError(
                f"{self._setting} is {str(self._folder)!r}, which belongs to user {found.st_uid}", hint=hint
            )
        if found.st_mode & 0o077:
            hint = f"Run chmod 700 {self._folder}, or name another folder"
            raise SettingsError(
                f"{self._setting} is {str(self._folder)!r}, which others than its owner may enter", hint=hint
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One rotation at a time: two would each drop the other's public key."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _generated(algorithm: Literal["ES256", "Ed25519"]) -> ECKey | OKPKey:
    return ECKey.generate_key("P-256") if algorithm == "ES256" else OKPKey.generate_key("Ed25519")


def _is_ours(name: str, found: object) -> bool:
    if not isinstance(found, dict):
        return False
    keys = [found] if name == SIGNING else found.get("keys")
    return isinstance(keys, list) and all(
        isinstance(each, dict)
        and isinstance(each.get("kid"), str)
        and isinstance(each.get("alg"), str)
        and isinstance(each.get("iat"), int)
        and isinstance(each.get("exp", 0), int)
        for each in keys
    )

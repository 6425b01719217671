"""A disk on which a process can be killed, or the machine crashed, at any operation.

The operations are real, on a real folder. What was not forced to disk is remembered, so that a crash of the machine can
undo it: of a file the bytes written since its last fsync, of a folder the names changed since its own.
"""

import errno
import io
import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

Kind = Literal["kill", "machine", "full"]


class Crash(BaseException):
    """Not an Exception: nothing that the code does about errors is done."""


@dataclass(slots=True)
class Fault:
    """What happens at an operation.

    Attributes:
        at: the number of the operation, counted from the last fault.
        kind: the process is killed, the machine crashes, or the disk is full for a while.
        lasting: of a full disk, for how many operations.
    """

    at: int
    kind: Kind
    lasting: int = 1


@dataclass(slots=True)
class Disk:
    """All below one folder.

    Attributes:
        root: the folder; where links are kept lies beside it.
        faults: those to come.
        dead: what has just happened; nothing can be done until `restart`.
        count: operations in all.
        before_fault: called before the process ends, as what another process does at this very moment.
        log: the operations since the last fault, each with the folder below the root.
    """

    root: Path
    faults: list[Fault]
    chance: random.Random
    dead: Kind | None = None
    count: int = 0
    before_fault: Callable[[], None] = lambda: None
    log: list[str] = field(default_factory=list)
    _since: int = 0
    _forced: dict[int, bytes] = field(default_factory=dict)
    _names: dict[Path, list[dict[str, int]]] = field(default_factory=dict)
    _in_hook: bool = False

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._kept.mkdir(exist_ok=True)
        for name in ("fsync", "replace", "unlink", "pwrite", "ftruncate", "utime"):
            monkeypatch.setattr(os, name, self._operation(name, getattr(os, name)))
        really = io.open

        def opened(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            if not isinstance(file, Path) or self.root not in file.parents or not set(mode) & set("wa"):
                return really(file, mode, *arguments, **named)
            self._happens(f"open {file.name}", file)
            made = really(file, mode, *arguments, **named)
            self._changed(file.parent)
            return made

        monkeypatch.setattr(io, "open", opened)

    @property
    def _kept(self) -> Path:
        return self.root.with_name(f"{self.root.name}.kept")

    def _operation(self, name: str, really: Callable[..., Any]) -> Callable[..., Any]:
        def operation(target: Any, *arguments: Any, **named: Any) -> Any:
            path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else Path(target)
            if self.root not in path.parents and path != self.root:
                return really(target, *arguments, **named)
            self._happens(f"{name} {path.name}", path)
            result = really(target, *arguments, **named)
            if name == "fsync":
                self._force(target, path)
            elif name in ("replace", "unlink"):
                self._changed(path.parent)
                if name == "replace" and Path(arguments[0]).parent != path.parent:
                    self._changed(Path(arguments[0]).parent)
            return result

        return operation

    def _happens(self, what: str, path: Path) -> None:
        """One more operation, before it is done."""
        self._note(path.parent)
        if self._in_hook:
            return
        if self.dead in ("kill", "machine"):
            raise Crash
        self.count += 1
        self._since += 1
        self.log.append(f"{path.relative_to(self.root).parts[0]}: {what}")
        if self.dead is None and self.faults and self._since >= self.faults[0].at:
            self._begin()
        if self.dead == "full":
            if self._since > self.faults[0].lasting:
                self._over()
            elif not what.startswith(("unlink", "utime", "ftruncate")):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What another process does, to which no fault happens."""
        self._in_hook = True
        try:
            yield
        finally:
            self._in_hook = False

    def _begin(self) -> None:
        """The next fault happens."""
        kind = self.faults[0].kind
        if kind != "full":
            with self.apart():
                self.before_fault()
        self.dead, self._since = kind, 0
        if kind != "full":
            raise Crash

    def _over(self) -> None:
        self.faults.pop(0)
        self.dead, self._since = None, 0
        self.log.clear()

    def restart(self) -> Kind:
        """What the next start finds; return what had happened."""
        kind = self.dead
        assert kind
        if kind == "machine":
            with self.apart():
                self._undo()
        self._over()
        return kind

    def _listed(self, folder: Path) -> dict[str, int]:
        """The names in a folder, with the numbers of their files, which are kept so that no number is used again."""
        found = {}
        for entry in os.scandir(folder):
            if entry.is_file(follow_symlinks=False):
                found[entry.name] = number = entry.inode()
                kept = self._kept / str(number)
                if not kept.exists():
                    os.link(entry.path, kept)
        return found

    def _note(self, folder: Path) -> None:
        if folder not in self._names and folder.is_dir():
            self._names[folder] = [self._listed(folder)]

    def _changed(self, folder: Path) -> None:
        self._names[folder].append(self._listed(folder))

    def _force(self, descriptor: int, path: Path) -> None:
        state = os.fstat(descriptor)
        if stat.S_ISDIR(state.st_mode):
            self._names[path] = [self._listed(path)]
        else:
            self._forced[state.st_ino] = Path(f"/proc/self/fd/{descriptor}").read_bytes()

    def _undo(self) -> None:
        """Of each folder some of the names since its last fsync, in their order; of each file some of its bytes."""
        for folder, history in self._names.items():
            current = self._listed(folder)
            chosen = self.chance.choice([*history, current])
            contents = {name: (self._content(number), self._time(number)) for name, number in chosen.items()}
            for name in current:
                (folder / name).unlink()
            for name, (content, time) in contents.items():
                (folder / name).write_bytes(content)
                self._forced[(folder / name).stat().st_ino] = content
                if time:
                    os.utime(folder / name, (time, time))
        self._names.clear()

    def _time(self, number: int) -> float:
        """When a file was changed; 0 if that is lost, and it is now."""
        return self.chance.choice([(self._kept / str(number)).stat().st_mtime, 0.0])

    def _content(self, number: int) -> bytes:
        now = (self._kept / str(number)).read_bytes()
        forced = self._forced.get(number, b"")
        if now == forced:
            return now
        if not now.startswith(forced):
            return self.chance.choice([now, forced])
        cut = self.chance.randint(len(forced), len(now))
        torn = forced + b"\0" * (cut - len(forced)) + now[cut:]
        return self.chance.choice([now, forced, now[:cut], torn])

"""Reads the table of one system from the file of settings, ``snk.toml``."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError, create_model
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from snk.errors import SettingsError
from snk.urls import check_files, check_postgres_url

CONFIG = "snk.toml"
CONFIG_NAME = "SNK_CONFIG"


class SettingsTable(BaseModel):
    """A table of settings, or one inside it; a name that it does not have is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PartOfTable(SettingsTable):
    """Some settings of a table. All others are passed over, and their secrets are not looked up."""

    model_config = ConfigDict(extra="ignore", frozen=True)


_PLAIN = {
    "timezone_aware": "write it with a zone, such as 2026-11-25T00:00:00Z",
    "model_type": "write it as a table",
    "tuple_type": 'write a list, such as ["one", "two"]',
}
"""What is right, where pydantic's own words are about Python."""
T = TypeVar("T", bound=SettingsTable)


def fetched(given: Any) -> Any:
    """A secret: as it is written, or from where ``env:NAME`` or ``file:PATH`` say.

    Raises:
        ValueError: there is no such variable or file.
    """
    kind, _, place = given.partition(":") if isinstance(given, str) else ("", "", "")
    if kind == "env":
        if place not in os.environ:
            raise ValueError(f"the environment has no variable {place!r}")
        return os.environ[place]
    if kind == "file":
        try:
            return Path(place).read_text().strip()
        except OSError as error:
            raise ValueError(f"{place!r} cannot be read: {error.strerror}") from None
    return given


Secret = Annotated[SecretStr, BeforeValidator(fetched)]


def config_path(given: Path | None = None) -> Path:
    """The file that is named on the command line, by SNK_CONFIG, or ``snk.toml``."""
    return given or Path(os.environ.get(CONFIG_NAME) or CONFIG)


def read_table(name: str, model: type[T], given: Path | None = None, *, page: str = "") -> T:
    """Read one table of the file; the tables of other systems are theirs.

    Args:
        name: the table's name.
        model: what it may hold.
        given: the file that is named on the command line.
        page: the page in docs/ that describes it; the table's name if it is empty.

    Raises:
        SettingsError: names each wrong setting, its value unless it is a secret, and what is right.
    """
    path, page = config_path(given), f"docs/{page or name}.md"
    if not path.is_file() or not os.access(path, os.R_OK):
        hint = f"Create it with a table [{name}], or name another by --config or {CONFIG_NAME}; see {page}"
        raise SettingsError(f"There is no readable file {str(path)!r}", hint=hint)
    try:
        table = getattr(_file(path, name, model)(), name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise SettingsError(f"{path}: " + "; ".join(_explain(error, name, model))) from None
    if table is None:
        near = difflib.get_close_matches(name, tomllib.loads(path.read_text("utf-8")), n=1)
        words = f"{path} has no table [{name}]" + (f"; the nearest one is [{near[0]}]" if near else "")
        raise SettingsError(words, hint=f"See {page} for the least it needs")
    assert isinstance(table, model)  # noqa: S101 - the model says so
    return table


class _OfDatabase(PartOfTable):
    """A table that has a database."""

    database: Secret


def read_database(name: str, given: Path | None = None, *, page: str = "") -> str:
    """The PostgreSQL URL of a table's database, for commands that use nothing else of the table; see `read_table`."""
    dsn = read_table(name, _OfDatabase, given, page=page).database.get_secret_value()
    check_postgres_url(f"{name}.database", dsn)
    check_files(f"{name}.database", dsn)
    return dsn


def read_whole(path: Path, model: type[T]) -> T:
    """Read a file that belongs to one system as a whole.

    Raises:
        SettingsError: as `read_table`.
    """
    try:
        return model.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise SettingsError(f"{str(path)!r} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise SettingsError(f"{path}: " + "; ".join(_explain(error, "", model))) from None


def _file(path: Path, name: str, model: type[T]) -> type[BaseSettings]:
    class File(BaseSettings):
        """A TOML file, whatever the environment holds."""

        model_config = SettingsConfigDict(extra="ignore", frozen=True)

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **__: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (TomlConfigSettingsSource(settings_cls, path),)

    fields: dict[str, Any] = {name: (model | None, None)}
    return create_model("File", __base__=File, **fields)


def _explain(error: ValidationError, table: str, model: type[SettingsTable]) -> Iterator[str]:
    for fault in error.errors():
        place, kinds = _place(fault["loc"][bool(table) :], model, unknown=fault["type"] == "extra_forbidden")
        name = _written(table, place)
        if fault["type"] == "extra_forbidden":
            nearest = _written(table, [*place[:-1], _nearest(place[-1], kinds[-2])])
            yield f"there is no setting {name}; the nearest one is {nearest}"
        elif fault["type"] == "missing":
            yield f"{name} is missing"
        else:
            value = "" if _has_secrets(kinds[-1]) else f" is {_shown(fault['input'])}"
            message = _PLAIN.get(fault["type"], fault["msg"].removeprefix("Value error, "))
            yield f"{name}{value}: {message[:1].lower()}{message[1:]}"


def _place(given: tuple[int | str, ...], model: type[BaseModel], *, unknown: bool) -> tuple[list[int | str], list[Any]]:
    """The names that lead to a setting, and the type at each step; what follows, such as a place in a list of texts,
    is left out.
    """
    place: list[int | str] = []
    kinds: list[Any] = [model]
    for part in given:
        inner = _inside(kinds[-1], part)
        if inner is None and not (unknown and _fields(kinds[-1]) and isinstance(part, str)):
            break
        place.append(part)
        kinds.append(inner)
    return place, kinds


def _fields(kind: Any) -> dict[str, Any]:
    """The settings of a table; none if it is something else."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return {}
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def _inside(kind: Any, part: int | str) -> Any:
    """The type of a setting in a table, or of a table in a list or a table of tables; None if there is none."""
    if isinstance(part, str) and part in (fields := _fields(kind)):
        return fields[part].annotation
    inner = [each for each in get_args(kind) if each is not Ellipsis]
    if get_origin(kind) is (tuple if isinstance(part, int) else dict) and _fields(inner[-1]):
        return inner[-1]
    return None


def _shown(value: Any) -> str:
    """A value as TOML has it, as far as that differs from Python; without what stands for a user in an address."""
    return str(value.isoformat()) if hasattr(value, "isoformat") else re.sub(r"://[^/@]*@", "://***@", repr(value))


def _written(table: str, place: list[int | str]) -> str:
    written = table + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return written.removeprefix(".")


def _has_secrets(kind: Any) -> bool:
    """Whether a setting of this type is a secret, or a table with a secret in it."""
    if kind is SecretStr:
        return True
    inner = [field.annotation for field in _fields(kind).values()] or get_args(kind)
    return any(_has_secrets(each) for each in inner)


def _nearest(name: int | str, kind: Any) -> str:
    """The setting of a table whose name is most like the given one."""
    names: list[str] = list(_fields(kind))
    return difflib.get_close_matches(str(name), names, n=1, cutoff=0.0)[0]

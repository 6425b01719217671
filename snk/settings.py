"""Reads the table of one system from the file of settings, ``snk.toml``."""

import difflib
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError, create_model
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from snk.errors import SettingsError

CONFIG = "snk.toml"
CONFIG_NAME = "SNK_CONFIG"


class SettingsTable(BaseModel):
    """A table of settings, or one inside it; a name that it does not have is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_PLAIN = {"model_type": "write it as a table", "tuple_type": 'write a list, such as ["one", "two"]'}
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


def read_table(name: str, model: type[T], given: Path | None = None) -> T:
    """Read one table of the file; the tables of other systems are theirs.

    Args:
        name: the table's name, which is also that of the page that describes it.
        model: what it may hold.
        given: the file that is named on the command line.

    Raises:
        SettingsError: names each wrong setting, its value unless it is a secret, and what is right.
    """
    path = config_path(given)
    if not path.is_file() or not os.access(path, os.R_OK):
        hint = f"Create it with a table [{name}], or name another by --config or {CONFIG_NAME}; see docs/{name}.md"
        raise SettingsError(f"There is no readable file {str(path)!r}", hint=hint)
    try:
        table = getattr(_file(path, name, model)(), name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise SettingsError(f"{path}: " + "; ".join(_explain(error, name, model))) from None
    if table is None:
        raise SettingsError(f"{path} has no table [{name}]", hint=f"See docs/{name}.md for the least it needs")
    assert isinstance(table, model)  # noqa: S101 - the model says so
    return table


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
        place = _place(fault["loc"][1:], model, unknown=fault["type"] == "extra_forbidden")
        name = ".".join((table, *place))
        if fault["type"] == "extra_forbidden":
            yield f"there is no setting {name}; the nearest one is {_nearest(place, table, model)}"
        elif fault["type"] == "missing":
            yield f"{name} is missing"
        else:
            value = "" if _is_secret(place, model) else f" is {fault['input']!r}"
            message = _PLAIN.get(fault["type"], fault["msg"].removeprefix("Value error, "))
            yield f"{name}{value}: {message[:1].lower()}{message[1:]}"


def _place(given: tuple[int | str, ...], model: type[BaseModel], *, unknown: bool) -> list[str]:
    """The names that lead to a setting; what follows them, such as the place in a list, is left out."""
    place: list[str] = []
    table: Any = model
    for part in given:
        fields = table.model_fields if isinstance(table, type) and issubclass(table, BaseModel) else {}
        if not isinstance(part, str) or (part not in fields and not (unknown and fields)):
            break
        place.append(part)
        table = fields[part].annotation if part in fields else None
    return place


def _holder(place: list[str], model: type[BaseModel]) -> type[BaseModel]:
    """The table that has the last name of this place."""
    for part in place[:-1]:
        inner = model.model_fields[part].annotation
        assert isinstance(inner, type)  # noqa: S101 - only tables hold further settings
        model = inner
    return model


def _is_secret(place: list[str], model: type[SettingsTable]) -> bool:
    field = _holder(place, model).model_fields.get(place[-1]) if place else None
    return field is not None and "SecretStr" in str(field.annotation)


def _nearest(place: list[str], table: str, model: type[SettingsTable]) -> str:
    """The setting whose name is most like the given one, in the same table."""
    near = difflib.get_close_matches(place[-1], _holder(place, model).model_fields, n=1, cutoff=0.0)[0]
    return ".".join((table, *place[:-1], near))

"""The settings of the re-sync: the table ``[resync]`` of a TOML file."""

import difflib
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from snk.errors import SettingsError
from snk.resync.mapping import Mapping, Names
from snk.urls import check_files, check_postgres_url, check_redis_url

CONFIG = "snk.toml"
CONFIG_NAME = "SNK_CONFIG"
LEAST_TOKEN = 16


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


class HttpSettings(Names):
    """Where `snk resync watch` serves its pages."""

    host: str = "127.0.0.1"
    port: int = Field(8090, ge=0, le=65535)
    token: Secret | None = None


class Resync(Mapping):
    """The table ``[resync]``.

    Attributes:
        database: PostgreSQL URL.
        redis: Redis URL; a cluster is recognised.
        grace_seconds: a difference counts if it is still there after so long.
        timeout_seconds: for connecting, and for an answer of Redis.
        statement_seconds: time limit for a statement of the database.
        most_rows: how many rows one repair may insert for one task.
    """

    database: Secret
    redis: Secret
    grace_seconds: float = Field(2.0, ge=0, le=600)
    timeout_seconds: float = Field(10.0, gt=0, le=600)
    statement_seconds: float = Field(120.0, gt=0, le=86400)
    most_rows: int = Field(1_000_000, ge=1, le=10_000_000)
    http: HttpSettings = HttpSettings()

    @property
    def database_dsn(self) -> str:
        """The PostgreSQL URL, with its password."""
        return self.database.get_secret_value()

    @property
    def redis_dsn(self) -> str:
        """The Redis URL, with its password."""
        return self.redis.get_secret_value()


def config_path(given: Path | None = None) -> Path:
    """The file that is named on the command line, by SNK_CONFIG, or ``snk.toml``."""
    return given or Path(os.environ.get(CONFIG_NAME) or CONFIG)


def load_settings(given: Path | None = None) -> Resync:
    """Read the settings.

    Args:
        given: the file that is named on the command line.

    Raises:
        SettingsError: names each wrong setting, its value unless it is a secret, and what is right.
    """
    path = config_path(given)
    if not path.is_file() or not os.access(path, os.R_OK):
        hint = f"Create it with a table [resync], or name another by --config or {CONFIG_NAME}; see docs/resync.md"
        raise SettingsError(f"There is no readable file {str(path)!r}", hint=hint)
    try:
        settings = _read(path)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise SettingsError(f"{path}: " + "; ".join(_explain(error))) from None
    if settings is None:
        raise SettingsError(f"{path} has no table [resync]", hint="See docs/resync.md for the least it needs")
    _check(settings)
    return settings


def _read(path: Path) -> Resync | None:
    class File(BaseSettings):
        """A TOML file, whatever the environment holds; tables of other systems are theirs."""

        model_config = SettingsConfigDict(extra="ignore", frozen=True)

        resync: Resync | None = None

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **__: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (TomlConfigSettingsSource(settings_cls, path),)

    return File().resync


def _check(settings: Resync) -> None:
    check_postgres_url("resync.database", settings.database_dsn)
    check_redis_url("resync.redis", settings.redis_dsn)
    check_files("resync.database", settings.database_dsn)
    check_files("resync.redis", settings.redis_dsn)
    for name in ("pointer", "source", "worker"):
        template = getattr(settings.keys, name)
        for place in ("task",) if name == "pointer" else ("task", name):
            if template.count(f"{{{place}}}") != 1:
                raise SettingsError(f"resync.keys.{name} is {template!r}", hint=f"It must hold {{{place}}} once")
    token = settings.http.token.get_secret_value() if settings.http.token else None
    if token is not None and len(token) < LEAST_TOKEN:
        raise SettingsError(f"resync.http.token has {len(token)} characters", hint=f"Use at least {LEAST_TOKEN}")


def _explain(error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        place = [part for part in fault["loc"][1:] if isinstance(part, str)]
        name = ".".join(("resync", *place))
        if fault["type"] == "extra_forbidden":
            yield f"there is no setting {name}; the nearest one is {_nearest(place)}"
        elif fault["type"] == "missing":
            yield f"{name} is missing"
        else:
            secret = place[-1:] in (["database"], ["redis"], ["token"])
            value = "" if secret else f" is {fault['input']!r}"
            message = fault["msg"].removeprefix("Value error, ")
            yield f"{name}{value}: {message[:1].lower()}{message[1:]}"


def _nearest(place: list[str]) -> str:
    """The setting whose name is most like the given one, in the same table."""
    model: type[BaseModel] = Resync
    for part in place[:-1]:
        inner = model.model_fields[part].annotation
        assert isinstance(inner, type)  # noqa: S101 - only tables hold further settings
        model = inner
    near = difflib.get_close_matches(place[-1], model.model_fields, n=1, cutoff=0.0)[0]
    return ".".join(("resync", *place[:-1], near))

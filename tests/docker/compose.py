"""docker-compose.yml as docker-compose reads it: merged, its variables resolved."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "docker" / "Dockerfile"
INNERMOST = re.compile(r"\$\{(\w+)(?::-([^${}]*))?\}")


def dotenv() -> dict[str, str]:
    """What ``.env`` says."""
    return {name: value for name, value in dotenv_values(ROOT / ".env").items() if value is not None}


def services(project: Mapping[str, str]) -> dict[str, Any]:
    """The services, given the project's environment: that of the shell over that of ``.env``."""
    found: dict[str, Any] = resolved(yaml.safe_load(FILE.read_text())["services"], project)
    for service in found.values():
        service["environment"] = environment(service, project)
    return found


def environment(service: Mapping[str, Any], project: Mapping[str, str]) -> dict[str, str]:
    """A container's environment: its env_file, under its own names; a name without a value is passed on if it is set."""
    given = (
        {name: str(value) for name, value in service["environment"].items() if value is not None}
        if ("environment" in service)
        else {}
    )
    passed = {name: project[name] for name in service.get("environment", {}) if name in project and name not in given}
    return {**(dotenv() if service.get("env_file") else {}), **passed, **given}


def resolved(value: Any, project: Mapping[str, str]) -> Any:
    """``${NAME}`` and ``${NAME:-default}``, also nested, replaced; ``$$`` is a dollar sign."""
    match value:
        case dict():
            return {key: resolved(item, project) for key, item in value.items()}
        case list():
            return [resolved(item, project) for item in value]
        case str():
            while found := INNERMOST.search(value):
                name, default = found.groups("")
                value = value[: found.start()] + (project.get(name) or default) + value[found.end() :]
            return value.replace("$$", "$")
        case _:
            return value

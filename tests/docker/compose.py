"""docker-compose.yml as docker-compose reads it: merged, its variables resolved."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "docker" / "Dockerfile"
CONFIG = ROOT / "docker" / "snk-handoff.toml"
PIPELINE_CONFIG = ROOT / "docker" / "snk-pipeline.toml"
BATCH_CONFIG = ROOT / "docker" / "snk-batch.toml"
BATCH_TASKS = ROOT / "docker" / "snk-batch-tasks.toml"
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


def with_path(found: dict[str, Any]) -> dict[str, Any]:
    """The services, with the programs of this interpreter in their path."""
    for service in found.values():
        service["environment"]["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
    return found


def environment(service: Mapping[str, Any], project: Mapping[str, str]) -> dict[str, str]:
    """A container's environment: what its env_file says, under its own names.

    A name without a value is passed on from the project's environment, if it is set there.
    """
    named = {name: project.get(name) if value is None else str(value) for name, value in named_in(service).items()}
    file = dotenv() if service.get("env_file") else {}
    return file | {name: value for name, value in named.items() if value is not None}


def named_in(service: Mapping[str, Any]) -> dict[str, Any]:
    """The names, and values where they have any, under ``environment``."""
    return service.get("environment", {})


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

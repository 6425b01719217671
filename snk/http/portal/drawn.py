"""Draws pages and their parts from templates. Whatever a value holds is shown as text, and never as markup."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from snk.http.portal import units

HERE = Path(__file__).parent
STATIC = HERE / "static"
FILTERS = ("number", "seconds", "ago", "moment", "size")
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Drawing:
    """The templates of a system and those of all.

    Args:
        folders: where the system has its templates.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        loader = ChoiceLoader([FileSystemLoader(folder) for folder in (*folders, HERE / "templates")])
        self._environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.filters |= {name: getattr(units, name) for name in FILTERS}
        self._environment.globals["part"] = self._placed
        self._environment.globals["mark"] = fingerprint()

    def page(self, template: str, values: Mapping[str, Any]) -> str:
        """A whole page."""
        return self._environment.get_template(template).render(values, values=values)

    def part(self, name: str, values: Mapping[str, Any]) -> str:
        """A part of a page."""
        return self._environment.get_template(f"parts/{name}.html").render(values)

    def _placed(self, name: str, values: Mapping[str, Any]) -> Markup:
        """A part within its page, where the script finds it."""
        return Markup('<div id="part-{}" data-part>{}</div>').format(name, Markup(self.part(name, values)))  # noqa: S704


def fingerprint() -> str:
    """Of the script and the style sheet: browsers ask for new ones after an update."""
    told = b"".join(file.read_bytes() for file in sorted(STATIC.iterdir()))
    return hashlib.sha256(told).hexdigest()[:12]

"""Rows of the platform's tables, as JSON has them."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

Row = dict[str, Any]


def as_json(row: sa.RowMapping) -> Row:
    """A row."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value

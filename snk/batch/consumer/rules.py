"""Why a record is not valid, found out by the database: one expression for all rules of all columns."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from snk.batch.consumer.target import Target
from snk.db.relation import Typed

SHOWN_CHARACTERS = 80
_NO_TEXT = sa.cast(sa.null(), sa.Text)


def reasons(target: Target, record: sa.ColumnElement[Any]) -> sa.ColumnElement[list[str]]:
    """An array with a reason for each column whose value is not valid; empty for a valid record."""
    each: list[sa.ColumnElement[str]] = [_reason(target, record, name) for name in target.columns]
    return sa.func.array_remove(pg.array(each), _NO_TEXT, type_=pg.ARRAY(sa.Text))


def _reason(target: Target, record: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[str]:
    """Why the value of a column is not valid; null if it is. A value is compared only if it is one of its type."""
    text, rule = target.text(record, name), target.rules[name]
    type_name, typed = target.columns[name].type, Typed(target.compared[name])
    value = sa.cast(text, typed)
    missing = sa.literal(f"{name} is missing", sa.Text) if target.required(name) else _NO_TEXT
    cases: list[tuple[Any, Any]] = [(text.is_(None), missing)]
    for each in dict.fromkeys((type_name, rule.type or type_name)):
        valid = sa.func.pg_input_is_valid(text, sa.literal(each, sa.Text))
        cases.append((sa.not_(valid), _shown(name, text, f", which is no {each}")))
    if rule.min is not None:
        cases.append((value < _bound(rule.min, typed), _shown(name, text, f", below {rule.min}")))
    if rule.max is not None:
        cases.append((value > _bound(rule.max, typed), _shown(name, text, f", above {rule.max}")))
    if rule.pattern:
        matches = text.op("~", is_comparison=True)(sa.literal(rule.pattern, sa.Text))
        cases.append((sa.not_(matches), _shown(name, text, f", which does not match {rule.pattern}")))
    if rule.one_of:
        one = sa.or_(*(value == _bound(each, typed) for each in rule.one_of))
        cases.append((sa.not_(one), _shown(name, text, f", none of {', '.join(map(_written, rule.one_of))}")))
    return sa.case(*cases, else_=_NO_TEXT)


def _bound(given: Any, typed: Typed) -> sa.ColumnElement[Any]:
    return sa.cast(sa.literal(_written(given), sa.Text), typed)


def _written(given: Any) -> str:
    return str(given).lower() if isinstance(given, bool) else str(given)


def _shown(name: str, text: sa.ColumnElement[str], words: str) -> sa.ColumnElement[str]:
    return sa.func.concat(
        sa.literal(f"{name} is ", sa.Text), sa.func.left(text, SHOWN_CHARACTERS), sa.literal(words, sa.Text)
    )

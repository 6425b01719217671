"""Texts of others, before they are shown on a terminal. Pure."""

import json


def plain(text: str) -> str:
    """A text that may be shown: what is not printable, such as the codes that terminals obey, is escaped."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def document(told: object, indent: int | None = None) -> str:
    """A JSON document that may be shown."""
    return "\n".join(map(plain, json.dumps(told, ensure_ascii=False, indent=indent).split("\n")))

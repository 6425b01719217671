"""The rights that SNK's role needs, and no others, as statements to be run by an owner."""

from collections.abc import Iterator

from snk.core.names import quoted, split_name
from snk.db.identifiers import identifier, literal
from snk.errors import SettingsError
from snk.pair.schema.creation import WAIT
from snk.pair.schema.own import SCHEMA

# An INSERT into a serial column draws from its sequence, which requires a right; an identity column requires none.
_GRANT_SEQUENCES = """
DECLARE
  behind text;
BEGIN
  FOR behind IN
    SELECT s.seqrelid::regclass::text
    FROM pg_attrdef d
    JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass
    JOIN pg_sequence s ON s.seqrelid = p.refobjid
    WHERE d.adrelid = ANY (ARRAY[{tables}]::regclass[])
  LOOP
    EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %I', behind, {role});
  END LOOP;
END
"""


def granted(role: str, tables: tuple[str, ...]) -> Iterator[str]:
    """The statements that grant a role the rights that SNK needs in one database, each without its semicolon.

    Raises:
        SettingsError: the name is ``public``, which means every role, or it is not a valid role name.
    """
    if role in ("public", "") or "\0" in role:
        raise SettingsError(f"--role is {role!r}", hint="Name the one role that SNK logs in as")
    to = f"TO {quoted(role)}"
    names = [split_name(table) for table in tables]
    yield f"GRANT USAGE ON SCHEMA {SCHEMA} {to}"
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} {to}"
    yield f"GRANT EXECUTE ON FUNCTION {WAIT} {to}"
    for schema in dict.fromkeys(name[0] for name in names if len(name) > 1):
        yield f"GRANT USAGE ON SCHEMA {identifier(schema)} {to}"
    for name in names:
        yield f"GRANT SELECT, INSERT ON TABLE {identifier(*name)} {to}"
    if not names:
        return
    listed = ", ".join(literal(".".join(map(quoted, name))) for name in names)
    yield _block(_GRANT_SEQUENCES.format(tables=listed, role=literal(role)))


def _block(body: str) -> str:
    """An anonymous block, with a dollar quote that does not occur in it."""
    tag = "$"
    while f"{tag}$" in body:
        tag += "_"
    return f"DO {tag}${body}{tag}$"

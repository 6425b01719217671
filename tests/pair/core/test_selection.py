"""Which tables SNK_TABLES selects: matching agrees with a slow and simple definition of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.core.names import quoted, written
from snk.pair.core.selection import Candidate, Selection

LETTERS = 'aB_*?![]^\\-. ,ä"'
NAMES = st.text(LETTERS, min_size=1, max_size=6)
GLOBS = st.text("ab*?[]!", min_size=1, max_size=8).filter(lambda text: not text.startswith("!"))
TABLES = st.builds(
    Candidate,
    schema=st.sampled_from(["a", "b", "ab"]),
    name=st.text("ab[]!*", min_size=1, max_size=4),
    on_path=st.booleans(),
    visible=st.just(value=False),
)


def agrees(glob: str, text: str) -> bool:
    """The definition: ``*`` stands for any characters, ``?`` for one."""
    if not glob:
        return not text
    if glob[0] == "*":
        return any(agrees(glob[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and glob[0] in ("?", text[0]) and agrees(glob[1:], text[1:])


def table(name: str, *, on_path: bool = False, version: str = "") -> Candidate:
    schema, _, name = name.rpartition(".")
    return Candidate(schema or "public", name, on_path or not schema, on_path or not schema, version)


def selected(text: str, *names: str) -> tuple[str, ...]:
    """The tables that are selected of those on both sides."""
    there = [table(name) for name in names]
    return Selection.of(text).chosen(there, there).tables


@given(GLOBS.filter(lambda glob: "*" in glob or "?" in glob), st.text("ab[]!*\n", max_size=6))
def test_a_pattern_matches_what_its_definition_says(glob: str, name: str) -> None:
    (pattern,) = Selection.of(f"x.{glob}").patterns
    assert pattern.matches("x", name, on_path=False) == agrees(glob, name)
    (pattern,) = Selection.of(f"{glob}.x*").patterns
    assert pattern.matches(name, "x", on_path=True) == agrees(glob, name)


@given(
    st.lists(st.tuples(st.booleans(), GLOBS, GLOBS), min_size=1, max_size=5), st.lists(TABLES, max_size=6), st.randoms()
)
def test_a_table_is_selected_if_one_entry_includes_it_and_none_excludes_it(
    entries: list[tuple[bool, str, str]], tables: list[Candidate], order: object
) -> None:
    entries = [*entries, (False, "zz", "*")]
    texts = [f"{'!' * excludes}{schema}.{name}" for excludes, schema, name in entries]
    order.shuffle(texts)  # type: ignore[attr-defined]
    wanted = {
        each.full_name
        for each in tables
        if any(agrees(schema, each.schema) and agrees(name, each.name) for no, schema, name in entries if not no)
        and not any(agrees(schema, each.schema) and agrees(name, each.name) for no, schema, name in entries if no)
    }
    chosen = Selection.of(",".join(texts)).chosen(tables, tables)
    named = {name for name in chosen.exact if any(name == each.full_name for each in tables)}
    assert set(chosen.matched) | named == wanted
    assert not chosen.lacking


@given(NAMES, NAMES)
def test_a_quoted_name_is_exact_whatever_it_holds(schema: str, name: str) -> None:
    parts = (schema, name)
    selection = Selection.of(".".join(map(quoted, parts)))
    assert (selection.exact, selection.plain) == ((written(parts),), True)


@given(st.lists(st.text("ab*", min_size=1, max_size=3), min_size=1, max_size=8))
def test_a_selection_without_exclusions_selects_what_each_entry_selects_alone(globs: list[str]) -> None:
    names = ["a", "b", "ab", "ba", "aab"]
    entries = [f"s.{glob}*" for glob in globs]
    alone = {name for entry in entries for name in selected(entry, *(f"s.{name}" for name in names))}
    assert set(selected(",".join(entries), *(f"s.{name}" for name in names))) == alone


@pytest.mark.parametrize(
    ("text", "there", "found"),
    [
        ("app.*,!app.audit_*", ("app.a", "app.audit_x", "b"), ("app.a",)),
        ("!app.audit_*,app.*", ("app.a", "app.audit_x", "b"), ("app.a",)),
        ("*", ("b", "app.a"), ("public.b",)),
        ("*.*", ("b", "app.a"), ("app.a", "public.b")),
        ("app.order?", ("app.orders", "app.order", "app.orders2"), ("app.orders",)),
        ("b, *", ("b", "c"), ("b", "public.c")),
        ("public.b, public.*", ("b",), ("public.b",)),
        ("b, c, !c", ("b", "c"), ("b",)),
        ("b, c, !public.c", ("b", "c"), ("b",)),
        ("app.c, b, !app.*", ("app.c", "b"), ("b",)),
        ("app.*, !a*", ("app.a",), ("app.a",)),
        ('app.*, ! "app"."a*"', ("app.a*", "app.ab"), ("app.ab",)),
        ("missing, b*", (), ("missing",)),
    ],
)
def test_what_is_selected(text: str, there: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert selected(text, *there) == found


def test_a_table_on_one_side_only_is_selected_and_said_to_be_lacking() -> None:
    first, second = [table("s.a", version="1"), table("s.b")], [table("s.a", version="2"), table("s.c")]
    chosen = Selection.of("s.*").chosen(first, second)
    assert chosen.matched == ("s.a", "s.b", "s.c")
    assert chosen.lacking == {"s.b": "second", "s.c": "first"}
    assert chosen.versions["s.a"] == "1 2"


def test_what_is_excluded_on_one_side_is_excluded() -> None:
    """The search_path of one side may lead to a table, and that of the other may not."""
    chosen = Selection.of("s.*, !a").chosen([table("s.a", on_path=True)], [table("s.a")])
    assert chosen.matched == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("!a", "only excludes"),
        ("!a.*, !b", "only excludes"),
        ("a, !", "no name follows the !"),
        ("a, !!b", "one ! excludes"),
        ("a.*.b", "has 3 parts"),
        ("a.", "no name follows the dot"),
    ],
)
def test_what_is_malformed_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Selection.of(text)


def test_many_stars_take_no_time() -> None:
    """Matching must not try every way to share a name among the stars."""
    (pattern,) = Selection.of("s." + "*a" * 30 + "b").patterns
    assert not pattern.matches("s", "a" * 63, on_path=False)

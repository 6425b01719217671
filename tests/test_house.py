"""Rules of the house that a machine can hold."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MIGRATIONS = sorted(ROOT.glob("snk/batch/migrations/*/*.py"))
"""Written once, by a tool, and never changed."""
PRODUCT = sorted({*ROOT.glob("snk/**/*.py"), *ROOT.glob("tst/**/*.py")} - set(MIGRATIONS))
# What leads past the ORM: driver connections, statements handed to the driver as text, COPY.
FORBIDDEN = {
    "exec_driver_sql",
    "raw_connection",
    "get_raw_connection",
    "driver_connection",
    "dbapi_connection",
    "copy_to_table",
    "copy_records_to_table",
    "copy_from_query",
    "copy_from_table",
    "add_listener",
}
CATALOGUES = {
    ROOT / path
    for path in (
        "snk/db/backends.py",
        "snk/db/catalog.py",
        "snk/db/locks.py",
        "snk/pair/catalog/activity.py",
        "snk/pair/catalog/checkup.py",
        "snk/pair/catalog/lookup.py",
    )
}


MOST_LINES = 40
MOST_PARAMETERS = 6


def names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id


@pytest.mark.long
def test_rows_reach_a_database_through_sqlalchemy_only() -> None:
    assert PRODUCT
    found = {(path.name, name) for path in PRODUCT for name in names(path) if name in FORBIDDEN}
    # SQLAlchemy has no words for what comes by NOTIFY, and no row comes that way.
    assert found == {("notices.py", name) for name in ("get_raw_connection", "driver_connection", "add_listener")}


@pytest.mark.long
def test_sql_as_text_is_for_catalogues_only() -> None:
    found = {path for path in PRODUCT if {"text", "TextClause"} & set(calls_of_sqlalchemy(path))}
    assert found == CATALOGUES


def calls_of_sqlalchemy(path: Path) -> Iterator[str]:
    """Names taken from SQLAlchemy: ``sa.text``, or ``text`` imported from it."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("sa", "sqlalchemy")
        ):
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy"):
            yield from (alias.name for alias in node.names)


OF_QUERIES = ("lateral", "family", "asked", "member", "unnest", "clock_timestamp", "stats_reset")


def test_catalogue_questions_read_no_table_of_the_user() -> None:
    """Every FROM and JOIN in the plain SQL names a view, table or function of PostgreSQL's own."""
    nodes = [node for path in CATALOGUES for node in ast.walk(ast.parse(path.read_text()))]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    named = [
        name for text in texts for name in re.findall(r"(?:^\s*|\s)(?:from|join) ([a-z_]+)", text) if "select" in text
    ]
    assert len(named) > 5
    assert not {name for name in named if not name.startswith("pg_") and name not in OF_QUERIES}


def test_children_are_started_in_one_place() -> None:
    """There they start from a known state, and are told to stop in a way that cannot be lost."""
    ways = {"Popen", "create_subprocess_exec", "create_subprocess_shell", "fork", "posix_spawn", "popen"}
    assert {path.name for path in PRODUCT if ways & set(names(path))} == {"process.py"}


def test_files_stay_small() -> None:
    assert {
        path.name: len(path.read_text().splitlines()) for path in PRODUCT if len(path.read_text().splitlines()) > 400
    } == {}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.long
def test_functions_stay_short() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{node.name}": lines
        for path in PRODUCT
        for node in functions(path)
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > MOST_LINES
    }
    assert not found


def test_constructors_take_few_parameters() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{node.lineno}": len(parameters)
        for path in PRODUCT
        for node in functions(path)
        if node.name == "__init__"
        and len(parameters := [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs][1:]) > MOST_PARAMETERS
    }
    assert not found


def test_lock_holds_names_versions_and_hashes_only() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert len(lines) > 100
    assert not [line for line in lines if "://" in line or line.startswith(("-", "--index", "--find"))]


def test_a_package_without_a_hash_fails_the_audit(tmp_path: Path) -> None:
    program = tmp_path / ".ci" / "audit"
    program.parent.mkdir()
    program.write_text((ROOT / ".ci" / "audit").read_text())
    (tmp_path / "requirements.lock").write_text("one==1.0 \\\n    --hash=sha256:00\ntwo==2.0\n")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "not pinned by version and hash: two==2.0" in done.stderr


def test_every_test_that_the_table_of_faults_names_is_there() -> None:
    named = re.findall(r"`[^`]*`", (ROOT / "docs/faults.md").read_text())
    files = {path for name in named for path in re.findall(r"tests/[\w/]+\.py", name)}
    tests = {test for name in named for test in re.findall(r"\btest_\w+(?![\w.])", name.replace(".py", ".py "))}
    written = "\n".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
    assert len(tests) > 50
    assert not {path for path in files if not (ROOT / path).exists()}
    assert not {test for test in tests if f"def {test}(" not in written and f"{test}.py" not in str(named)}


@pytest.mark.parametrize(
    ("package", "heading"),
    [
        ("snk", "## The systems"),
        ("snk.pair", "## Within the pair"),
        ("snk.resync", "## Within the re-sync"),
        ("snk.handoff", "## Within the hand-off"),
        ("snk.pipeline", "## Within the pipeline"),
        ("snk.serve", "## Within serve"),
        ("snk.batch", "## Within the batch"),
        ("snk.batch.platform", "## Within the platform of the batch"),
        ("snk.batch.consumer", "## Within the consumer of the batch"),
    ],
)
def test_the_drawing_of_the_imports_is_true(package: str, heading: str) -> None:
    draw = [str(Path(sys.executable).parent / "import-linter"), "drawgraph", package]
    drawn = subprocess.run(draw, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    edges = {edge for edge in re.findall(r'"\.(\w+)" -> +"\.(\w+)"', drawn) if edge[0] != "__main__"}
    section = (ROOT / "docs/imports.md").read_text().partition(heading)[2].partition("\n## ")[0]
    assert set(re.findall(r"^  (\w+) --> (\w+)$", section, re.MULTILINE)) == edges

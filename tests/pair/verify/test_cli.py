"""``snk verify`` as its users run it: exit codes, words, JSON."""

import json
import os
import subprocess
from typing import Any

from tests.kit.commands import run_command
from tests.pair.verify.conftest import Sides

ROW = "insert into records (uuid, data) values ('00000000-0000-4000-8000-{:012x}', 'x')"


def snk_verify(sides: Sides, *arguments: str, **values: str) -> subprocess.CompletedProcess[str]:
    urls = {"FIRST_DB_URL": sides.first.dsn, "SECOND_DB_URL": sides.second.dsn}
    return run_command("verify", "--settle", "0", *arguments, environment={**os.environ, **urls, **values})


def document(run: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(run.stdout)


async def test_equal_sides_end_with_exit_code_0(sides: Sides) -> None:
    await sides.both(ROW.format(1))
    run = snk_verify(sides)
    assert (run.returncode, run.stderr) == (0, "")
    assert "public.records: equal (1 rows in first, 1 in second" in run.stdout


async def test_different_sides_end_with_exit_code_1_and_names(sides: Sides) -> None:
    await sides.first.run(*(ROW.format(at) for at in range(1, 6)))
    run = snk_verify(sides, "--limit", "2")
    assert run.returncode == 1
    assert "public.records: DIFFERENT (5 rows in first, 0 in second" in run.stdout
    assert "only in first: 5" in run.stdout
    assert run.stdout.count("00000000-0000-4000-8000-") == 2
    assert "and 3 more" in run.stdout


async def test_json_is_one_document_of_all_tables(sides: Sides) -> None:
    await sides.make(name="others")
    await sides.second.run(*(ROW.format(at) for at in range(1, 4)))
    run = snk_verify(sides, "--json", "--limit", "2", SNK_TABLES="records,others")
    assert run.returncode == 1
    found = document(run)
    records, others = found["tables"]
    assert (found["equal"], records["equal"], others["equal"]) == (False, False, True)
    assert (records["table"], others["table"]) == ("public.records", "public.others")
    assert records["rows"] == {"first": 0, "second": 3}
    assert records["complete"]
    assert records["only_in_second"] == [f"00000000-0000-4000-8000-{at:012x}" for at in (1, 2)]
    assert [records[f"{kind}_count"] for kind in ("only_in_first", "only_in_second", "different")] == [0, 3, 0]
    assert others["seconds"] > 0


async def test_one_database_is_not_compared_with_itself(sides: Sides) -> None:
    run = snk_verify(Sides(sides.first, sides.first))
    assert (run.returncode, run.stdout) == (2, "")
    assert "the same database" in run.stderr


async def test_missing_table_ends_with_exit_code_2(empty: Sides) -> None:
    run = snk_verify(empty, "--json")
    assert (run.returncode, run.stdout) == (2, "")
    assert "there is no table records" in run.stderr


async def test_server_that_does_not_answer_ends_with_exit_code_2(sides: Sides) -> None:
    run = snk_verify(sides, SECOND_DB_URL="postgresql://nobody:secret@127.0.0.1:1/none")
    assert (run.returncode, run.stdout) == (2, "")
    assert "second (127.0.0.1:1/none)" in run.stderr
    assert "secret" not in run.stderr
    assert "Traceback" not in run.stderr

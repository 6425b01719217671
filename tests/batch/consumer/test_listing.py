"""What commands say of a consumer's runs: they read its database, and nothing else."""

import json
from pathlib import Path

import pytest

from tests.kit.commands import run_command
from tests.kit.consumer import ConsumerProcess
from tests.kit.databases import Database

RUNS = """
insert into snk_batch_consumer.run
 (uid, number, task, fence, since, state, reason, payload, callback, created_at, ended_at) values
('5b8f4c0e-7a53-4f0b-9d2c-0f6f3a1e2d47', 7, 'prices', 1, 1, 'COMPLETED', '', '{"day": "2026-11-25"}', '',
 '2026-11-25 02:00:00Z', '2026-11-25 02:03:05Z'),
('5b8f4c0e-7a53-4f0b-9d2c-0f6f3a1e2d48', 8, 'prices', 5, 4, 'FAILED', 'a: why', '{}', '', '2026-11-26 02:00:00Z',
 '2026-11-26 09:00:00Z')
"""
FILES = """
insert into snk_batch_consumer.file (run, name, definition, state, received, rejected, reason) values
(1, 'a', '{}', 'COMPLETED', 3000, 2900, ''), (1, 'b', '{}', 'COMPLETED', 50, 34, ''),
(2, 'a', '{}', 'FAILED', null, null, 'why')
"""
LISTED = """\
     8  FAILED       prices  2026-11-26T02:00:00Z  ended 2026-11-26T09:00:00Z
  file  FAILED       a
        why
     7  COMPLETED    prices  2026-11-25T02:00:00Z  in 3 min 5 s  2,934 rejected  {"day": "2026-11-25"}
  file  COMPLETED    a  received 3,000, rejected 2,900
  file  COMPLETED    b  received 50, rejected 34
"""


@pytest.fixture
async def one(database: Database, tmp_path: Path) -> ConsumerProcess:
    """A consumer that does not run, with secrets that nobody has set."""
    await database.run(RUNS, FILES)
    made = ConsumerProcess(tmp_path, database.dsn)
    secret = '[consumer.credentials.provider]\nbearer = "env:NOBODY_HAS_SET_THIS"\n'
    Path(made.config).write_text(f'[consumer]\ndatabase = "{database.dsn}"\n{secret}')
    return made


async def test_runs_say_when_they_came_how_long_they_took_and_what_was_rejected(one: ConsumerProcess) -> None:
    shown = one.snk("runs")
    assert (shown.returncode, shown.stdout) == (0, LISTED), shown.stderr
    first = json.loads(one.snk("runs", "--json").stdout)["runs"][-1]
    assert (first["created_at"], first["seconds"], first["rejected"]) == ("2026-11-25T02:00:00+00:00", 185.0, 2934)


async def test_a_file_that_does_not_exist_is_told(one: ConsumerProcess) -> None:
    assert one.snk("init").returncode == 0
    assert one.snk("rejected", "7", "--file", "b").stdout == "no rejected records\n"
    missing = one.snk("rejected", "7", "--file", "c")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "run 7 has no file 'c'; there are: a, b" in missing.stderr


@pytest.mark.parametrize("group", [("batch", "consumer"), ("serve",)])
def test_a_command_that_does_not_exist_is_told(group: tuple[str, ...]) -> None:
    done = run_command(*group, "tokne")
    assert done.returncode == 2
    assert "No such command 'tokne'" in done.stderr

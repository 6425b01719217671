"""Executors of other packages: the one that the documentation shows, and one that fails."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.kit.consumer import ROOT, ConsumerProcess, ask, call, until_ended
from tests.kit.databases import Database, until

Make = Callable[..., ConsumerProcess]
SHOWN = re.compile(r"```python\n(from pathlib.*?)```", re.DOTALL)
POINTS = "[snk.batch.executors]\ncsv_folder = ours:CsvFolder\nbroken = ours:Broken\nmissing = ours:Missing\n"
BROKEN = """
class Broken(CsvFolder):
    async def execute(self, work):
        raise ZeroDivisionError("by a defect")
"""


def package(folder: Path) -> None:
    """A package as pip would install it."""
    found = SHOWN.search((ROOT / "docs/batch.md").read_text())
    assert found
    (folder / "ours.py").write_text(found[1] + BROKEN)
    info = folder / "ours-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)


async def test_a_package_can_bring_executors(make: Make, database: Database, tmp_path: Path) -> None:
    package(tmp_path)
    await database.run("create table lines (file text, line text)")
    one = make()
    one.path = str(tmp_path)
    await one.started()
    body = call({"a": {"executor": "csv_folder", "source": str(tmp_path / "a.csv")}})
    await ask(one.url, body)

    async def waits() -> bool:
        found = (await ask(one.url, body))[1]["files"]["a"]
        return found["state"] == "WAITING" and "a.csv is not there yet" in found["reason"]

    await until(waits, "the file to say what it waits for")
    (tmp_path / "a.csv").write_text("1\n2\n3\n")
    told = await until_ended(one.url, body)
    assert (told["state"], told["files"]["a"]["applied"]) == ("COMPLETED", 3)
    assert await database.rows("select line from lines order by line") == [("1",), ("2",), ("3",)]
    other = call({name: {"executor": name, "source": str(tmp_path / "a.csv")} for name in ("broken", "missing")}, run=2)
    told = await until_ended(one.url, other)
    assert told["files"]["broken"]["reason"] == "the executor failed: ZeroDivisionError: by a defect"
    assert told["files"]["missing"]["reason"].startswith("the executor 'missing' cannot be used: module 'ours'")
    assert "executor_failed" in one.log

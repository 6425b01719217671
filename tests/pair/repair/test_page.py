"""The report as one page: what it holds, and how a browser shows it."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.kit.daemons import run_snk
from tests.kit.databases import Database

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
VIRTUAL_MS = 10_000


def settings(pair: Any) -> dict[str, str]:
    return {"FIRST_DB_URL": pair.first, "SECOND_DB_URL": pair.second, "REDIS_URL": pair.redis}


async def reported(pair: Any, folder: Path) -> Path:
    """A report on two sides that differ in every way."""
    assert run_snk(settings(pair), "init").returncode == 0
    rows = "insert into records (uuid, data) select md5('{0}' || i)::uuid, '{1}' from generate_series(1, {2}) i"
    for dsn, name in ((pair.first, "first"), (pair.second, "second")):
        side = Database(dsn)
        await side.run(rows.format("same", "", 50), rows.format(name, "", 5), rows.format("both", name, 2))
    file = folder / "report.html"
    done = run_snk(settings(pair), "verify", "--settle", "0", "--report", str(file))
    assert done.returncode == 1, done.stderr
    return file


@pytest.mark.long
async def test_the_page_needs_nothing_else_and_names_every_difference(pair: Any, tmp_path: Path) -> None:
    page = (await reported(pair, tmp_path)).read_text()
    assert not re.search(r"(src|href|url\()", page)
    assert "5 only in first; a repair copies them to second" in page
    assert "2 different; a person settles them" in page
    assert len(re.findall(r"<code>[0-9a-f-]{36}</code>", page)) == 12
    assert 1 <= page.count('class="cell"') <= 12


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed on this machine")
async def test_a_browser_shows_the_map_in_colours(pair: Any, tmp_path: Path) -> None:
    file = await reported(pair, tmp_path)
    drawn = tmp_path / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    look = [*flags, f"--virtual-time-budget={VIRTUAL_MS}", "--window-size=1000,1400"]
    told = subprocess.run(
        [str(CHROMIUM), *look, "--dump-dom", file.as_uri()], capture_output=True, text=True, check=True
    )
    assert told.stdout.count("<rect") == file.read_text().count('class="cell"')
    assert "Both sides are" in told.stdout
    subprocess.run([str(CHROMIUM), *look, f"--screenshot={drawn}", file.as_uri()], capture_output=True, check=True)
    assert drawn.stat().st_size > 5000


@pytest.mark.long
async def test_a_place_where_no_file_can_be_is_named(pair: Any) -> None:
    assert run_snk(settings(pair), "init").returncode == 0
    done = run_snk(settings(pair), "verify", "--report", "/no/such/folder/page.html")
    assert (done.returncode, "cannot be written" in done.stderr) == (2, True)

"""``make screenshots``: every page of every system, light, dark and on a phone, as a person would see it.

Each system runs on servers of its own, with something to see. The pictures that README shows are kept in docs/.
"""

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Browser

from snk.cli.inherited import settle
from tests.kit.browser import Visit, opened, visiting
from tests.kit.commands import start_command
from tests.kit.databases import until

ROOT = Path(__file__).parent.parent
LOOKS = {"light": (False, False), "dark": (True, False), "phone": (False, True)}
SETTLE_SECONDS = 2.0
LOAD_SECONDS = 40.0
SHOWN = {"pair-overview-light": "overview.png"}
"""Those that README shows, and their names in docs/."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A running system.

    Attributes:
        pages: the name of each picture, and the page's path.
    """

    url: str
    pages: dict[str, str]


@asynccontextmanager
async def pair() -> AsyncIterator[Stage]:
    """A pair under load."""
    with tempfile.TemporaryDirectory(prefix="snk-screens-") as folder:
        Path(folder).chmod(0o755)  # as root, the servers run as another user
        log = Path(folder) / "log"
        command = start_command("up", "--state", f"{folder}/state", log=log, folder=folder)
        try:

            async def told() -> bool:
                return "first " in log.read_text()

            await until(told, "the pair to start")
            await asyncio.sleep(LOAD_SECONDS)
            url = log.read_text().split("portal", 1)[1].split()[0].rstrip("/")
            pages = {"overview": "/", "tables": "/tables", "table": "/tables/records", "events": "/events"}
            yield Stage(url, pages)
        finally:
            command.terminate()
            command.wait()


STAGES: dict[str, Callable[[], AbstractAsyncContextManager[Stage]]] = {"pair": pair}


async def main(folder: Path, wanted: Sequence[str]) -> None:
    """Take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    async with opened() as browser:
        for name in wanted or STAGES:
            async with STAGES[name]() as stage:
                await _pictures(browser, stage, folder, name)
    for name, shown in SHOWN.items():
        if (taken := folder / f"{name}.png").exists():
            shutil.copy(taken, ROOT / "docs" / shown)


async def _pictures(browser: Browser, stage: Stage, folder: Path, name: str) -> None:
    for look, (dark, phone) in LOOKS.items():
        async with visiting(browser, stage.url, dark=dark, phone=phone) as visit:
            for page, path in stage.pages.items():
                await _picture(visit, path, folder / f"{name}-{page}-{look}.png")


async def _picture(visit: Visit, path: str, file: Path) -> None:
    await visit.go(path)
    await asyncio.sleep(SETTLE_SECONDS)
    await visit.page.screenshot(path=file, full_page=True)
    print(file, flush=True)


if __name__ == "__main__":
    settle()
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("stages", nargs="*", choices=[*STAGES, []], help="only these systems; without one, all")
    parser.add_argument("--folder", type=Path, default=ROOT / "screenshots")
    given = parser.parse_args()
    asyncio.run(main(given.folder, given.stages))

"""``python -m tests.screenshots``: the pictures that README shows, of a pair under load and of a run of the batch.

``make screenshots`` also takes pictures of every page, in light, dark and on a phone, while tests look at them.
"""

import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import Browser

from snk.batch.demo import stage as demo
from snk.batch.demo.run import send_message
from snk.cli.inherited import settle
from snk.embedded.temporary import database_server
from tests.kit.browser import Visit, opened, visiting
from tests.kit.commands import start_command
from tests.kit.databases import until

DOCS = Path(__file__).parent.parent / "docs"
LOAD_SECONDS = 45.0
SETTLE_SECONDS = 2.0
ROWS = 20_000
RUN = "/runs/1"


async def main() -> None:
    """Take the pictures."""
    async with opened() as browser:
        await _pair(browser)
        await _batch(browser)


async def _pair(browser: Browser) -> None:
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
            async with visiting(browser, url) as visit:
                await _picture(visit, "/", DOCS / "overview.png")
        finally:
            command.terminate()
            command.wait()


async def _batch(browser: Browser) -> None:
    with database_server("snk-batch-") as (folder, database):
        async with demo.opened(folder, database, ROWS, print) as stage:
            await send_message(stage, demo.NODES[0])
            async with visiting(browser, stage.pages) as visit:
                await visit.go("/sign-in")
                await visit.page.get_by_label("Token").fill(stage.operator)
                await visit.page.get_by_role("button", name="Sign in").click()
                await visit.page.wait_for_url(f"{stage.pages}/")
                await visit.go(RUN)
                await visit.until_shown("completed", "#part-run .state")
                await _picture(visit, RUN, DOCS / "run.png")


async def _picture(visit: Visit, path: str, file: Path) -> None:
    await visit.go(path)
    await asyncio.sleep(SETTLE_SECONDS)
    await visit.page.screenshot(path=file, full_page=True)
    print(file, flush=True)


if __name__ == "__main__":
    settle()
    asyncio.run(main())

"""`snk portal`: the pages of several daemons behind one address."""

import os
from pathlib import Path
from typing import Any

from playwright.async_api import Browser

from snk.embedded.process import free_port
from tests.kit.browser import visiting
from tests.kit.commands import start_command
from tests.kit.daemons import DaemonProcess, run_snk
from tests.kit.databases import Database, insert, until_equal
from tests.kit.looks import fits

TOKEN, VIEW_TOKEN = "operator-token-0123", "viewer-token-012345"
SETTINGS = """
[portal]
port = {port}
[[portal.processes]]
name = "orders"
url = "{url}"
token = "env:ORDERS_TOKEN"
[[portal.processes]]
name = "strange"
url = "{url}"
token = "another-token-0123"
[[portal.processes]]
name = "gone"
url = "http://127.0.0.1:{gone}"
"""


async def test_a_process_is_shown_below_its_name_to_everybody(pair: Any, browser: Browser, tmp_path: Path) -> None:
    first, second = Database(pair.first), Database(pair.second)
    with DaemonProcess(pair, SNK_HTTP_TOKEN=TOKEN, SNK_HTTP_VIEW_TOKEN=VIEW_TOKEN) as daemon:
        await daemon.until_flowing()
        port, config = free_port(), tmp_path / "snk.toml"
        config.write_text(SETTINGS.format(port=port, url=daemon.url, gone=free_port()))
        environment = {**os.environ, "ORDERS_TOKEN": TOKEN}
        portal = start_command("portal", "--config", str(config), log=tmp_path / "log", environment=environment)
        try:
            async with visiting(browser, f"http://127.0.0.1:{port}") as visit:
                await visit.until_there()
                await visit.until_shown("healthy", "#part-processes")
                await visit.until_shown("gone does not answer", "#part-processes")
                await visit.until_shown("strange does not know the token of the portal", "#part-processes")
                await fits(visit, ["/"])
                await visit.page.get_by_role("link", name="orders").click()
                await visit.live()
                await insert(first, 321)
                await until_equal(first, second, 321)
                await visit.until_shown("321", "#part-flows")  # without a reload
                await visit.page.get_by_role("link", name="Tables").click()
                await visit.page.get_by_role("link", name="records").click()
                assert "/p/orders/tables/records" in visit.page.url
                await visit.go("/p/orders")
                await visit.live()
                await visit.page.get_by_role("link", name="All processes").click()
                await visit.until_shown("Processes")
        finally:
            portal.terminate()
            portal.wait()


def test_wrong_settings_are_refused_in_words(tmp_path: Path) -> None:
    config = tmp_path / "snk.toml"
    for processes, words in (
        ('[[portal.processes]]\nname = "A b"\nurl = "http://127.0.0.1:1"', "lower-case letters"),
        ('[[portal.processes]]\nname = "a"\nurl = "127.0.0.1:1"', "http://127.0.0.1:8089"),
        ('[[portal.processes]]\nname = "a"\nurl = "http://10.0.0.1:1"\ntoken = "x"', "unencrypted to 10.0.0.1"),
        ('[[portal.processes]]\nname = "a"\nurl = "http://h"\n' * 2, "twice"),
    ):
        config.write_text(f"[portal]\n{processes}\n")
        ended = run_snk({}, "portal", "--config", str(config))
        assert (ended.returncode, words in ended.stderr) == (2, True), ended.stderr

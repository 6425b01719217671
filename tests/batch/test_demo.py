"""``snk batch demo``: both databases are equal at the end, whoever died, and nothing is left."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.kit.databases import until

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "snk", "batch", "demo"]
pytestmark = pytest.mark.long


def test_a_message_leads_to_equal_databases_though_a_node_and_a_consumer_die_and_a_record_is_spoilt() -> None:
    done = subprocess.run([*COMMAND, "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["equal"]
    assert told["records"] == 100_000
    assert told["runs"] == dict.fromkeys(("market", "books", "trades", "quotes", "accounts", "balances"), "COMPLETED")
    assert "was killed" in told["effects"]["node"]
    assert "in the middle of" in told["effects"]["consumer"]
    assert told["effects"]["record"].startswith("balances is RECON_FAILED: ")
    assert "node-1, node-2, consumer-1, consumer-2 start\n" in done.stderr
    assert done.stderr.index("a trigger in the consumers' database") < done.stderr.index("the trigger is dropped")
    assert "= after it: it equals the provider's; !: it does not" in done.stderr
    assert "started one run of each group: market (ASYNC), books (SYNC)" in done.stderr


async def test_nothing_is_left_when_it_is_stopped() -> None:
    with subprocess.Popen(COMMAND, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as demo:
        process = psutil.Process(demo.pid)

        async def busy() -> bool:
            return any("consumer-2" in words for words in map(_words, process.children(recursive=True)))

        await until(busy, "a consumer")
        children = process.children(recursive=True)
        demo.send_signal(signal.SIGINT)
        demo.communicate()
    assert not [each for each in children if _words(each)]


def _words(process: psutil.Process) -> str:
    """How it was called; nothing if it has ended, whether or not somebody has waited for it."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""

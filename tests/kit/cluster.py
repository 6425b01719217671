"""A cluster of three Valkey servers on this machine."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis

from snk.embedded.process import free_port
from snk.embedded.state import held
from snk.embedded.valkey import ValkeyServer

SLOTS = 16384
NODES = 3
FORMED_SECONDS = 60.0


@contextmanager
def valkey_cluster(state: Path) -> Iterator[list[ValkeyServer]]:
    """Three primaries that share the slots, as long as the block lasts."""
    with held(state) as folder, ExitStack() as stack:
        nodes: list[ValkeyServer] = []
        for number in range(NODES):
            options = {"cluster-enabled": "yes", "cluster-port": str(free_port()), "cluster-node-timeout": "60000"}
            nodes.append(ValkeyServer(folder / f"node{number}", folder, options=options))
            stack.callback(nodes[-1].stop)
            nodes[-1].start()
            with Redis.from_url(nodes[-1].dsn) as client:
                first, last = SLOTS * number // NODES, SLOTS * (number + 1) // NODES - 1
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                if number:
                    port = options_port(nodes[0])
                    client.execute_command("CLUSTER MEET", "127.0.0.1", nodes[0].port, port)
        _wait_until_formed(nodes)
        yield nodes


def options_port(node: ValkeyServer) -> str:
    """The port by which other nodes talk to this one."""
    return node._options["cluster-port"]


def _wait_until_formed(nodes: list[ValkeyServer]) -> None:
    deadline = time.monotonic() + FORMED_SECONDS
    for node in nodes:
        with Redis.from_url(node.dsn) as client:
            while True:
                told = client.execute_command("CLUSTER INFO")
                if (told["cluster_state"], told["cluster_known_nodes"]) == ("ok", str(NODES)):
                    break
                if time.monotonic() > deadline:
                    raise TimeoutError(str(told))
                time.sleep(0.05)

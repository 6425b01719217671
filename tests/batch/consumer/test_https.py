"""HTTPS between all parts works end to end, and a server with an invalid certificate is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snk.embedded.process import free_port
from tests.batch.consumer.conftest import COUNT, Provider
from tests.kit.batch import World
from tests.kit.consumer import COLUMNS, ConsumerProcess, ask, call
from tests.kit.databases import until
from tests.kit.tls import Certificates, behind_tls

Make = Callable[..., ConsumerProcess]
BAD = {
    "of another host": "certificate is not valid for",
    "expired": "certificate has expired",
    "of an unknown authority": "unable to get local issuer certificate",
}


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    """Certificates, and one authority that all processes trust."""
    made = Certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.trusted))
    return made


def definition(consumer: str, provider: str) -> str:
    """A task that is called once: only a callback can complete it."""
    return (
        f'[task.prices]\nconsumers = ["https://{consumer}/v1/tasks/prices"]\ninterval_seconds = 3600\n'
        f'[task.prices.files.t0]\nsource = "https://{provider}/v1/t0"\n'
        f'[task.prices.files.t0.options]\ntarget = "public.loaded_t0"\nkey = "uid"\ncolumns = {json.dumps(COLUMNS)}\n'
        'from = "2026-11-25T00:00:00Z"\nto = "2026-11-26T00:00:00Z"\n'
    )


async def test_calls_pages_digests_and_callbacks_go_over_tls(
    certificates: Certificates, world: World, make: Make, provider: Provider
) -> None:
    good, port = certificates.context("good"), free_port()
    consumer = await make().started()
    async with (
        behind_tls(consumer.url, good) as calls,
        behind_tls(provider.url, good) as pages,
        behind_tls(f"http://127.0.0.1:{port}", good) as callbacks,
    ):
        world.configure(address=f"https://{callbacks}")
        world.define(definition(calls, pages))
        world.start("a", port)
        await world.url("a")
        world.snk("trigger", "prices")

        async def ended() -> bool:
            return bool((await world.runs())[0]["ended_at"])

        await until(ended, "the run to end")
    (run,) = await world.runs()
    assert (run["state"], run["calls"]) == ("COMPLETED", 1)
    shown = json.loads(world.snk("show", str(run["id"]), "--json").stdout)
    assert [(each["name"], each["applied"]) for each in shown["files"]] == [("t0", COUNT)]


@pytest.mark.long
@pytest.mark.sampled(1)
@pytest.mark.parametrize("which", BAD)
async def test_a_consumer_with_a_bad_certificate_is_not_called_and_why_says_so(
    certificates: Certificates, world: World, which: str
) -> None:
    async with behind_tls("http://127.0.0.1:9", certificates.context(which)) as consumer:
        world.define(definition(consumer, "127.0.0.1:9"))
        world.start("a")
        await world.url("a")
        world.snk("trigger", "prices")

        async def told() -> bool:
            return BAD[which] in world.snk("why", "prices").stdout

        await until(told, "the certificate to be named")


@pytest.mark.long
@pytest.mark.sampled(1)
@pytest.mark.parametrize("which", BAD)
async def test_a_provider_with_a_bad_certificate_is_asked_for_nothing_and_named(
    certificates: Certificates, make: Make, provider: Provider, file: Callable[..., dict[str, Any]], which: str
) -> None:
    consumer = await make().started()
    async with behind_tls(provider.url, certificates.context(which)) as address:
        asked = call({"t0": file("t0", source=f"https://{address}/v1/t0")})

        async def named() -> bool:
            return BAD[which] in (await ask(consumer.url, asked))[1]["files"]["t0"]["reason"]

        await until(named, "the certificate to be named")

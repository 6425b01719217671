"""Who a client is: tokens, users and JWTs, right ones and a thousand wrong ones."""

import asyncio
import base64
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from snk.http.auth.authority import Authority, Client, Unknown
from snk.http.auth.settings import AuthSettings
from tests.kit.issuers import AUDIENCE, NAME, JwtKey, a_key, a_token, claims, encoded, hs256, jwks, replaced, signed

SECRET = "k" * 40
TOKEN = "a-token-of-enough-characters"
READ = frozenset({"records:read"})


class World:
    """An authority that knows one issuer of each kind, a token and a user."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "jwks.json"
        self.key = a_key("ES256", "one")
        self.edwards = a_key("Ed25519")
        self.file.write_text(jwks(self.key))
        (folder / "edwards.json").write_text(jwks(self.edwards))
        self.settings = AuthSettings.model_validate(
            {
                "issuers": [
                    {"issuer": NAME, "algorithm": "ES256", "jwks": str(self.file)},
                    {"issuer": "ed", "algorithm": "Ed25519", "jwks": str(folder / "edwards.json"), "scopes": READ},
                    {"issuer": "shared", "algorithm": "HS256", "secret": SECRET},
                ],
                "tokens": [{"name": "nightly", "token": TOKEN, "scopes": ["records:write"]}],
                "users": [{"user": "ann", "password": "päss:word", "scopes": ["*"]}],
            }
        )
        self.authority = Authority(self.settings)

    async def bearer(self, token: str) -> Client:
        return await self.authority.client(f"Bearer {token}")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.authority.close()


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


async def test_clients_of_every_kind_have_a_name_and_scopes(world: World) -> None:
    assert await world.bearer(a_token(world.key)) == Client(f"{NAME}/client", READ)
    assert await world.bearer(a_token(world.edwards, claims(iss="ed"))) == Client("ed/client", READ)
    assert await world.bearer(hs256(SECRET.encode(), claims(iss="shared"))) == Client("shared/client", READ)
    assert await world.bearer(TOKEN) == Client("token nightly", frozenset({"records:write"}))
    assert await world.authority.client(basic("ann:päss:word")) == Client("user ann", frozenset({"*"}))
    assert await world.authority.client(f"bearer  {TOKEN} ") == Client("token nightly", frozenset({"records:write"}))


async def test_everyone_may_do_everything_where_nobody_is_configured() -> None:
    settings = AuthSettings()
    assert not settings.closed
    for header in (None, "Bearer nonsense", "x"):
        client = await Authority(settings).client(header)
        assert (client.name, client.may("records:write")) == ("a client without credentials", True)


async def test_a_client_may_do_what_its_scopes_say() -> None:
    assert Client("a", READ).may("records:read")
    assert not Client("a", READ).may("records:write")
    assert not Client("a", frozenset()).may("*")
    assert Client("a", frozenset({"*"})).may("records:write")


async def test_an_issuer_cannot_allow_more_than_its_own_scopes(world: World) -> None:
    async def allowed(scope: str | None) -> frozenset[str]:
        return (await world.bearer(a_token(world.edwards, claims(iss="ed", scope=scope)))).scopes

    assert await allowed("records:read records:write") == READ
    assert await allowed("*") == READ
    assert await allowed("records:write") == frozenset()
    assert await allowed(None) == frozenset()


async def test_no_two_subjects_have_the_same_name(world: World) -> None:
    names = [(await world.bearer(a_token(world.key, claims(sub=sub)))).name for sub in ("a/b", "a%2Fb", "a")]
    assert names == [f"{NAME}/a%2Fb", f"{NAME}/a%252Fb", f"{NAME}/a"]


async def test_the_challenge_names_the_ways_in(world: World) -> None:
    with pytest.raises(Unknown, match="credentials are missing") as missing:
        await world.authority.client(None)
    assert missing.value.challenge == 'Bearer realm="snk-serve", Basic realm="snk-serve", charset="UTF-8"'
    with pytest.raises(Unknown) as wrong:
        await world.bearer("wrong")
    assert 'Bearer realm="snk-serve", error="invalid_token"' in wrong.value.challenge
    only = AuthSettings.model_validate({"users": [{"user": "u", "password": "12345678", "scopes": ["*"]}]})
    with pytest.raises(Unknown) as without:
        await Authority(only).client(f"Bearer {TOKEN}")
    assert without.value.challenge == 'Basic realm="snk-serve", charset="UTF-8"'


def spoiled(world: World) -> dict[str, str]:
    """A token for each thing that can be wrong with it."""
    key, now = world.key, int(time.time())
    assert isinstance(key, ECKey)
    stranger = a_key("ES256", "one")
    good = a_token(key)
    head, body, signature = good.split(".")
    none = encoded(b'{"alg":"none"}')
    pem = key.as_pem(private=False)
    public = json.dumps(key.as_dict(private=False)).encode()
    return {
        "another algorithm": a_token(world.edwards, kid="one"),
        "HS256 with the public key as PEM": hs256(pem, kid="one"),
        "HS256 with the public key as JWK": hs256(public, kid="one"),
        "HS256 with the secret of another issuer": hs256(SECRET.encode(), kid="one"),
        "HS256 with another secret": hs256(b"x" * 40, claims(iss="shared")),
        "HS256 with no secret": hs256(b"", claims(iss="shared")),
        "ES256 at the issuer of HS256": a_token(key, claims(iss="shared")),
        "none": f"{none}.{body}.",
        "none with a signature": f"{none}.{body}.{signature}",
        "None": signed(key, {"alg": "None", "kid": "one"}, json.dumps(claims()).encode(), "ES256"),
        "alg is a list": signed(key, {"alg": ["ES256"], "kid": "one"}, json.dumps(claims()).encode(), "ES256"),
        "no alg": signed(key, {"kid": "one"}, json.dumps(claims()).encode(), "ES256"),
        "expired": a_token(key, claims(exp=now - 31)),
        "far future": a_token(key, claims(exp=now + 335)),
        "not yet": a_token(key, claims(nbf=now + 40)),
        "issued later": a_token(key, claims(iat=now + 40)),
        "exp is a text": a_token(key, claims(exp=str(now + 100))),
        "exp is true": a_token(key, claims(exp=True)),
        "exp is huge": a_token(key, claims(exp=10**400)),
        "exp is infinite": a_token(key, json.dumps(claims(exp=float("inf"))).encode()),
        "exp is no number": a_token(key, json.dumps(claims(exp=float("nan"))).encode()),
        "exp has too many digits": a_token(key, b'{"iss":"%s","exp":%s}' % (NAME.encode(), b"9" * 5000)),
        "exp is null": a_token(key, json.dumps({**claims(), "exp": None}).encode()),
        "iat is true": a_token(key, claims(iat=True)),
        "nbf is a text": a_token(key, claims(nbf="0")),
        "another audience": a_token(key, claims(aud="another")),
        "a list of audiences": a_token(key, claims(aud=[AUDIENCE, "another"])),
        "a list of one audience": a_token(key, claims(aud=[AUDIENCE])),
        "no audience": a_token(key, claims(aud=None)),
        "no issuer": a_token(key, claims(iss=None)),
        "no exp": a_token(key, claims(exp=None)),
        "no subject": a_token(key, claims(sub=None)),
        "empty subject": a_token(key, claims(sub="")),
        "subject is a number": a_token(key, claims(sub=5)),
        "subject with NUL": a_token(key, claims(sub="a\0b")),
        "subject is half a character": a_token(key, b'{"iss":"%s","sub":"\\ud800"}' % NAME.encode()),
        "subject is long": a_token(key, claims(sub="a" * 256)),
        "scope is a list": a_token(key, claims(scope=["records:read"])),
        "unknown issuer": a_token(key, claims(iss="elsewhere")),
        "issuer is a list": a_token(key, claims(iss=[NAME])),
        "another issuer's key": a_token(world.edwards, claims(), kid="one"),
        "a stranger's key": a_token(stranger),
        "a stranger's key, in the token": a_token(stranger, jwk=stranger.as_dict(private=False)),
        "a link to a stranger's key": a_token(stranger, jku="https://evil.example/jwks.json"),
        "unknown kid": a_token(key, kid="two"),
        "kid is a number": a_token(key, kid=1),
        "critical header": a_token(key, crit=["exp"]),
        "critical header that is known": a_token(key, crit=["b64"], b64=True),
        "unencoded": a_token(key, b64=False),
        "header is a list": f"{encoded(b'[]')}.{body}.{signature}",
        "header is deep": f"{encoded(b'[' * 3000)}.{body}.{signature}",
        "body is deep": f"{head}.{encoded(b'[' * 3000)}.{signature}",
        "body is a text": a_token(key, b'"text"'),
        "body is no JSON": a_token(key, b"{"),
        "body is no UTF-8": a_token(key, b'{"iss": "\xff"}'),
        "another body": f"{head}.{encoded(json.dumps(claims(scope='*')).encode())}.{signature}",
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "five parts": f"{good}.{signature}.{signature}",
        "padding": f"{good}==",
        "space": f"{head}. {body}.{signature}",
        "line break": f"{good}\n",
        "too long": a_token(key, claims(more="x" * 9000)),
        "zeros as the signature": f"{head}.{body}.{encoded(bytes(64))}",
        "empty": "",
        "a part of the token": TOKEN[:-1],
        "more than the token": TOKEN + "x",
        "beyond ASCII": "tökén" * 5,
        "half a character": "\ud800" * 20,
    }


async def refused(authority: Authority, header: str) -> str:
    """The reason; any other error fails the test."""
    with pytest.raises(Unknown) as error:
        await authority.client(header)
    assert error.value.challenge.isascii()
    assert "\n" not in error.value.challenge
    return str(error.value)


def mutations(good: str, count: int) -> Iterator[str]:
    """So many tokens that differ from a good one in a few places."""
    chance = random.Random(20261126)
    letters = "ABCxyz019-_.~=+/ "
    while count:
        wrong = list(good)
        for _ in range(chance.randint(1, 3)):
            wrong[chance.randrange(len(wrong))] = chance.choice(letters)
        if (text := "".join(wrong)) != good:
            count -= 1
            yield text


async def test_a_thousand_wrong_tokens_are_refused_and_good_ones_still_work(world: World) -> None:
    good = a_token(world.key)
    wrong = [*spoiled(world).values(), *mutations(good, 900)]
    chance = random.Random(7)
    wrong += [encoded(chance.randbytes(chance.randint(1, 300))) for _ in range(50)]
    wrong += [good[: chance.randrange(len(good))] for _ in range(50)]
    assert len(wrong) >= 1000
    assert (await world.bearer(good)).name == f"{NAME}/client"
    for token in wrong:
        await refused(world.authority, f"Bearer {token}")
    assert (await world.bearer(good)).name == f"{NAME}/client"
    assert (await world.bearer(a_token(world.key))).may("records:read")


async def test_each_wrong_token_is_refused_for_what_is_wrong_with_it(world: World) -> None:
    """Else a token with a wrong audience might be refused because the test signs badly."""
    tokens = spoiled(world)
    reasons = {
        "another algorithm": "alg",
        "HS256 with the public key as PEM": "alg",
        "none with a signature": "alg",
        "expired": "expired",
        "far future": "not valid yet",
        "not yet": "not valid yet",
        "issued later": "not valid yet",
        "exp is infinite": "its exp is no time",
        "a list of one audience": "aud",
        "no exp": "has no exp",
        "subject with NUL": "sub",
        "unknown issuer": "issuer",
        "a stranger's key, in the token": "signature",
        "another body": "signature",
        "unknown kid": "its key is not known",
        "critical header that is known": "crit",
        "too long": "longer",
        "two parts": "neither",
    }
    for name, reason in reasons.items():
        assert reason in await refused(world.authority, f"Bearer {tokens[name]}"), name


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic *",
        "Basic YQ",
        "Basic " + "A" * 9000,
        "Digest a",
        " ",
        "Bearer",
        "\xff\xfe",
        "Basic \xff",
    ],
)
async def test_other_headers_are_refused(world: World, header: str) -> None:
    await refused(world.authority, header)


@pytest.mark.parametrize(
    "pair", ["ann:", "ann:päss", ":päss:word", "ann", "bob:päss:word", "ann:päss:word ", f"x:{TOKEN}"]
)
async def test_wrong_users_and_passwords_are_refused(world: World, pair: str) -> None:
    assert "päss" not in await refused(world.authority, basic(pair))


async def test_headers_that_nobody_has_to_know_are_ignored(world: World) -> None:
    token = a_token(world.key, typ="at+jwt", nonce="x", jku="https://issuer.example/jwks.json")
    assert (await world.bearer(token)).name == f"{NAME}/client"


async def test_times_are_kept_within_the_leeway(world: World) -> None:
    now = int(time.time())
    for said in ({"exp": now - 20}, {"exp": now + 320}, {"nbf": now + 20}, {"iat": now + 20, "exp": now + 100.5}):
        assert (await world.bearer(a_token(world.key, claims(**said)))).may("records:read")


async def test_a_token_that_was_accepted_ends_all_the_same(tmp_path: Path) -> None:
    made, now = World(tmp_path), [time.time()]
    authority = Authority(made.settings, lambda: now[0])
    header = f"Bearer {a_token(made.key, claims(exp=int(now[0]) + 100))}"
    await authority.client(header)
    now[0] += 129
    await authority.client(header)
    now[0] += 2
    assert "expired" in await refused(authority, header)
    now[0] -= 500
    assert "not valid yet" in await refused(authority, header), "the clock was set back"


async def test_a_token_that_was_accepted_is_refused_once_its_key_is_withdrawn(world: World) -> None:
    token, new = a_token(world.key), a_key()
    await world.bearer(token)
    replaced(world.file, jwks(new))
    await world.bearer(a_token(new))  # its key is unknown, so the file is read
    assert "its key is not known" in await refused(world.authority, f"Bearer {token}")


async def test_a_key_of_the_same_name_does_not_inherit_tokens(world: World) -> None:
    token = a_token(world.key)
    await world.bearer(token)
    replaced(world.file, jwks(a_key("ES256", "one")))
    assert not await world.authority.troubles()  # reads the file
    assert "signature" in await refused(world.authority, f"Bearer {token}")


async def test_a_token_needs_a_kid_only_where_there_are_several_keys(world: World) -> None:
    token = a_token(world.key, kid=None)
    assert (await world.bearer(token)).name == f"{NAME}/client"
    replaced(world.file, jwks(world.key, a_key()))
    await world.authority.troubles()
    assert "kid" in await refused(world.authority, f"Bearer {token}")


async def test_clients_go_on_while_keys_rotate(world: World) -> None:
    """A new key every few requests, published beside the one before: nobody is refused, at no moment."""
    keys = [world.key]
    done = asyncio.Event()

    async def client() -> int:
        count = 0
        while not done.is_set():
            await world.bearer(a_token(keys[-1]))
            count += 1
            await asyncio.sleep(0)
        return count

    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(client()) for _ in range(4)]
        for _ in range(30):
            new: JwtKey = a_key()
            replaced(world.file, jwks(new, keys[-1]))
            keys.append(new)
            for _ in range(5):
                await world.bearer(a_token(keys[-1]))
                await world.bearer(a_token(keys[-2]))
        done.set()
    assert all(task.result() > 0 for task in clients)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
HEADERS = ["kid", "alg", "typ", "crit", "jwk", "x5c", "x5u", "cty", "b64", "zip", "enc"]
CLAIMS = ["iss", "aud", "exp", "sub", "nbf", "iat", "scope", "jti"]


@pytest.mark.long
@settings(max_examples=400)
@given(data=st.data())
def test_no_header_raises_anything_but_unknown(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    made = World(tmp_path_factory.mktemp("keys"))
    key, good = made.key, a_token(made.key)
    tokens = st.one_of(
        st.text(),
        st.binary(max_size=200).map(lambda raw: a_token(key, raw)),
        st.tuples(st.integers(0, len(good) - 1), st.characters()).map(
            lambda at: good[: at[0]] + at[1] + good[at[0] + 1 :]
        ),
        st.tuples(st.sampled_from(HEADERS), VALUES).map(lambda pair: a_token(key, **{pair[0]: pair[1]})),
        st.tuples(st.sampled_from(CLAIMS), VALUES).map(lambda pair: a_token(key, {**claims(), pair[0]: pair[1]})),
    )
    header = data.draw(
        st.one_of(
            st.text(),
            st.binary().map(lambda raw: f"Basic {base64.b64encode(raw).decode()}"),
            tokens.map(lambda token: f"Bearer {token}"),
        )
    )

    async def ask() -> None:
        try:
            client = await made.authority.client(header)
        except Unknown:
            return
        assert client.name.startswith(f"{NAME}/"), header

    asyncio.run(ask())

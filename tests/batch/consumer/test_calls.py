"""A call that cannot be taken as it is says which part of it is wrong."""

from collections.abc import Callable
from typing import Any

from tests.kit.consumer import ConsumerProcess, ask, call
from tests.kit.databases import Database

Make = Callable[..., ConsumerProcess]
MakeFile = Callable[..., dict[str, Any]]
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"run": 2**63}, "run", "less than or equal to 9223372036854775807"),
    ({"fence": 2**63}, "fence", "less than or equal to"),
    ({"since": 2**63}, "since", "less than or equal to"),
    ({"fence": -1}, "fence", "greater than or equal to 0"),
    ({"files": {"Not A Name": {}}}, "files.Not A Name.[key]", "should match pattern"),
    ({"files": {"a\0": {}}}, "files.a\0.[key]", "should match pattern"),
    ({"files": {"a": {"source": "http://a/\0"}}}, "files", "file a: a text of it has the character NUL"),
    ({"files": {"a": {"options": {"b": ["\0"]}}}}, "files", "file a: a text of it has the character NUL"),
    ({"payload": {"a": {"b\0": 1}}}, "payload", "a text of it has the character NUL"),
    ({"callback": "http://a/\0"}, "callback", "is no address of a service; write http(s)://HOST:PORT/PATH"),
    ({"callback": "ftp://a/"}, "callback", "'ftp://a/' is no address of a service"),
    ({"callback": "platform"}, "callback", "'platform' is no address of a service"),
    ({"callback": "http://me:geheim@a/"}, "callback", "it has a user or a password"),
    ({"callback": "http://a:port/"}, "callback", "port"),
]


async def test_what_is_wrong_in_a_call_is_told_with_its_field(make: Make, file: MakeFile, database: Database) -> None:
    one = await make().started()
    for changed, field, words in WRONG:
        status, problem = await ask(one.url, {**call({"t0": file()}), **changed})
        assert (status, problem.get("field")) == (422, field), (changed, problem)
        assert words in problem["detail"], problem
        assert "geheim" not in str(problem)
    assert await database.value("select count(*) from snk_batch_consumer.run") == 0
    assert (await ask(one.url, call({"t0": file()}, run=0, fence=0, since=0)))[0] == 202

"""A server of 0.1.0 and one of this version side by side on one database, as in an upgrade of hosts one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import first_version as first
from tests.support.fake_keystone import FakeKeystone
from tests.support.pin_stores import KINDS, body_of, database_url, execute, make_table, new_instance, with_store
from tests.support.serving import JSON, Process, free_port, section, serving, write_config
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore


async def run(store: PinStore, kind: str, statement: str, *key: str, answer: bytes = b"") -> list[tuple[object, ...]]:
    """Execute a statement of 0.1.0."""
    values = {"now": first.NOW[kind], "answer": first.literal(kind, answer)}
    return await execute(store.database, statement.format(*key, **values).replace(":", r"\:"))


async def make() -> bytes:
    """Return the answer of a run."""
    return b"made"


@pytest.mark.parametrize("kind", KINDS)
def test_the_statements_of_0_1_0_work_on_an_expanded_database(kind: str, tmp_path: Path) -> None:
    """Each version reads the other's pins and respects its claims, on a database that 0.1.0 created."""
    key = (new_instance(), "mail")

    async def work(store: PinStore) -> None:
        pins, old = Pins(store, PinCipher([]), 30.0), partial(run, store, kind)
        assert [("0001",)] == await old(first.CHECK)
        assert b"old" == await body_of(pins, ("7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d", "mail"), make)
        await old(first.CLAIM, *key, "theirs")
        with pytest.raises(PinsUnavailable, match=r"^another worker is still running handler mail for this instance$"):
            await body_of(pins, key, make, seconds=0.1)
        await old(first.RELEASE, *key, "theirs")
        assert b"made" == await body_of(pins, key, make)
        ((*found, answer, owner, _),) = await old(first.LOOK_UP, *key)
        assert ([*key], b"0made", None) == (found, bytes(answer), owner)  # type: ignore[call-overload]

    with database_url(kind, tmp_path) as url:
        planted = ("7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d", "mail", "x")

        async def before(store: PinStore) -> None:
            for statement in first.schema(kind):
                await execute(store.database, statement)
            await run(store, kind, first.CLAIM, *planted)
            await run(store, kind, first.FULFIL, *planted, answer=b"0old")

        with_store(url, before)
        make_table(url)
        with_store(url, work)


def ask(client: httpx.Client, token: str, path: str, instance: str) -> Any:
    """Ask a server about an instance."""
    body = json.dumps({"instance-id": instance, "project-id": "0b9d", "boot-roles": "member"})
    response = client.post(path, content=body, headers={**JSON, "X-Auth-Token": token})
    assert 200 == response.status_code, response.text
    return response.json()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_of_0_1_0_and_one_of_this_version_share_the_pins(kind: str, tmp_path: Path) -> None:
    """With a handler that has no `prepare` there, and one here, an answer stays what whoever was first has pinned."""
    code = first.unpacked(tmp_path / "code")
    a, b, *many = (new_instance() for _ in range(12))
    with both(kind, code, tmp_path) as (old, new):
        by_old = old("/enrolled", a), old("/cloud-init", b)
        by_new = new("/cloud-init", a), new("/enrolled", b)
        assert (by_old, by_new) == (
            (new("/enrolled", a), new("/cloud-init", b)),
            (old("/cloud-init", a), old("/enrolled", b)),
        )
        with ThreadPoolExecutor(16) as threads:
            asked = [threads.submit(each, "/enrolled", instance) for instance in many for each in (old, new) * 3]
            answers = [each.result() for each in asked]
    assert [1] * len(many) == [len({str(each) for each in answers[at : at + 6]}) for at in range(0, len(answers), 6)]
    made = [path.name.partition(".")[0] for path in (tmp_path / "runs").iterdir()]
    prepared = sum(each["run"] != "old" for each in answers[::6])
    # For `a` and `b` the method that 0.1.0 pinned needs no preparation, and the other one has one.
    assert (prepared + 2, len(many) + 2) == (made.count("prepare"), made.count("handle") - 1)


Ask = Callable[[str, str], Any]


@contextmanager
def both(kind: str, code: Path, folder: Path) -> Iterator[tuple[Ask, Ask]]:
    """Run a server of 0.1.0, upgrade its database, and run one of this version beside it; yield how to ask them."""
    (folder / "runs").mkdir()
    with ExitStack() as stack:
        url = stack.enter_context(database_url(kind, folder))
        keystone = stack.enter_context(FakeKeystone())
        token = keystone.issue("service")
        sections = section("database", {"connection": url}) + section("handler:enrolled", {"runs": folder / "runs"})

        async def create(store: PinStore) -> None:
            for statement in first.schema(kind):
                await execute(store.database, statement)

        def config(name: str, handler: str, port: int) -> Path:
            (folder / name).mkdir()
            handlers = f"tests.support.handlers.preparing:{handler}"
            patient = {"request_timeout": 20.0, "auth_timeout": 10.0}
            options: dict[str, Any] = {"handlers": handlers, "sections": sections, "port": port, **patient}
            return write_config(folder / name, keystone, **options)

        def asking(server: Process) -> Ask:
            client = stack.enter_context(server.client())
            return partial(ask, client, token)

        with_store(url, create)
        ports = free_port(), free_port()
        old = stack.enter_context(first.serving_first(code, config("old", "Enrolling", ports[0]), ports[0]))
        asking(old)("/enrolled", new_instance())  # its connections and statements are older than the expansion
        make_table(url)
        new = stack.enter_context(serving(config("new", "Enrolled", ports[1]), ports[1]))
        new.wait_until_answers()
        yield asking(old), asking(new)

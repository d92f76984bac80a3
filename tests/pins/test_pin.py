"""Pins give each instance its first answer, whoever asks, and whatever happens to whoever makes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import pytest
from cryptography.fernet import Fernet

from tests.support.pin_stores import age, execute, make_table, with_store
from vendorsrv import NotYet
from vendorsrv.database.engine import Database
from vendorsrv.database.url import async_url
from vendorsrv.errors import HandlerError, PinsUnavailable
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore

LEASE = 30.0
I = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"  # noqa: E741 - the instance


class Maker:
    """A handler's run; counts how often it ran.

    :param during: what happens meanwhile.
    """

    def __init__(self, answer: bytes = b"{}", during: Callable[[], Awaitable[object]] | None = None) -> None:
        self.answer = answer
        self.during = during
        self.runs = 0

    async def __call__(self) -> bytes:
        """Make the answer; what happens meanwhile happens the first time."""
        self.runs += 1
        if self.during and self.runs == 1:
            await self.during()
        return self.answer


class Worker(Pins):
    """The pins of one of several workers on a store, which all use the same class."""

    def __init__(self, store: PinStore, keys: tuple[str, ...] = ()) -> None:
        super().__init__(store, PinCipher(keys), LEASE)

    async def ask(self, make: Callable[[], Awaitable[bytes]], seconds: float = 10.0) -> bytes:
        """Ask for the instance's answer of the handler ``mail``."""
        return await self.get_or_create(I, "mail", make, time.monotonic() + seconds)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An empty store."""
    made = f"sqlite:///{tmp_path}/pins.db"
    make_table(made)
    return made


async def nothing_yet() -> NoReturn:
    """Answer for now."""
    raise NotYet({"wait": True})


async def fail() -> NoReturn:
    """Fail."""
    raise HandlerError("planted")


@pytest.mark.parametrize("first", [b'{"role":"mail-server"}', b"{}", b"null"])
def test_the_first_answer_holds(url: str, first: bytes) -> None:
    """Nothing is an answer, too: who was no mail server at boot does not become one."""

    async def work(store: PinStore) -> list[bytes]:
        return [await Worker(store).ask(Maker(answer)) for answer in (first, b"second", b"third")]

    assert [first] * 3 == with_store(url, work)


def test_each_instance_and_handler_has_its_own(url: str) -> None:
    """Pins are kept by both."""

    async def work(store: PinStore) -> list[bytes]:
        deadline = time.monotonic() + 10
        keys = [(I, "mail"), (I, "dns"), ("another", "mail")]
        return [
            await Worker(store).get_or_create(*key, Maker(answer), deadline)
            for key, answer in zip(keys, (b"1", b"2", b"3"), strict=True)
        ]

    assert [b"1", b"2", b"3"] == with_store(url, work)


def test_all_who_ask_at_once_get_the_answer_of_one_run(url: str) -> None:
    """In one worker they share it, and from another one they wait for it."""

    async def work(store: PinStore) -> tuple[list[bytes], int]:
        makers = [Maker(b"%d" % number, lambda: asyncio.sleep(0.1)) for number in range(12)]
        workers = [Worker(store), Worker(store)]
        answers = await asyncio.gather(*(workers[number % 2].ask(maker) for number, maker in enumerate(makers)))
        return answers, sum(maker.runs for maker in makers)

    answers, runs = with_store(url, work)
    assert (1, 1) == (len(set(answers)), runs)


@pytest.mark.parametrize(("first", "error"), [(nothing_yet, NotYet), (fail, HandlerError)])
def test_what_is_no_answer_is_not_pinned(
    url: str, first: Callable[[], Awaitable[bytes]], error: type[Exception]
) -> None:
    """The next one need not wait: the claim was given up."""

    async def work(store: PinStore) -> bytes:
        with pytest.raises(error):
            await Worker(store).ask(first)
        return await Worker(store).ask(Maker(b"later"), seconds=0.0)

    assert b"later" == with_store(url, work)


def test_a_caller_who_gives_up_stops_nobody(url: str) -> None:
    """The run goes on, and what it makes is pinned."""

    async def work(store: PinStore) -> tuple[bytes, int]:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def during() -> None:
            begun.set()
            await go_on.wait()

        worker, maker = Worker(store), Maker(b"made", during)
        asking = asyncio.create_task(worker.ask(maker))
        await begun.wait()
        asking.cancel()
        other = asyncio.create_task(worker.ask(maker))
        go_on.set()
        return await other, maker.runs

    assert (b"made", 1) == with_store(url, work)


def test_waiting_ends_with_the_budget(url: str) -> None:
    """The claim of somebody else is not taken over before its time, and no answer is given without a pin."""

    async def work(store: PinStore) -> int:
        await store.claim(I, "mail", "alive", None)
        maker = Maker()
        with pytest.raises(PinsUnavailable, match=r"^another worker is still running handler mail for this instance$"):
            await Worker(store).ask(maker, seconds=0.1)
        return maker.runs

    assert 0 == with_store(url, work)


@pytest.mark.parametrize(("seconds", "runs"), [(LEASE + 1, 1), (LEASE - 10, 0), (-0.5, 0), (-3600.0, 1)])
def test_a_claim_is_over_when_its_owner_must_be_dead(url: str, seconds: float, runs: int) -> None:
    """Or when the clock went back an hour since: a claim from the future, but for a second, is none."""

    async def work(store: PinStore) -> int:
        await store.claim(I, "mail", "dead", None)
        await age(store, I, "mail", claimed_at=time.time() - seconds)
        maker = Maker()
        try:
            await Worker(store).ask(maker, seconds=0.1)
        except PinsUnavailable:
            return 0
        return maker.runs

    assert runs == with_store(url, work)


def test_who_is_overtaken_gives_the_answer_of_the_other(url: str) -> None:
    """His run took longer than his claim: its answer is nobody's."""

    async def work(store: PinStore) -> tuple[bytes, bytes | None]:
        async def during() -> None:
            await age(store, I, "mail", claimed_at=1.0)
            await Worker(store).ask(Maker(b"the other's"))

        return await Worker(store).ask(Maker(b"late", during)), await Worker(store).get(I, "mail")

    assert (b"the other's", b"the other's") == with_store(url, work)


def test_two_who_claim_at_once(url: str) -> None:
    """One of them waits for the other."""

    class Overtaken(PinStore):
        """A store in which somebody else is always first."""

        async def claim(self, instance_id: str, handler: str, owner: str, expired: str | None) -> bool:
            """Claim after somebody else."""
            await super().claim(instance_id, handler, "first", expired)
            is_ours = await super().claim(instance_id, handler, owner, expired)
            await self.pin(instance_id, handler, "first", b"0the first one's")
            return is_ours

    async def work(_: PinStore) -> tuple[bytes, int]:
        store, maker = Overtaken(Database(async_url(url), 5.0)), Maker()
        answer = await Worker(store).ask(maker)
        await store.close()
        return answer, maker.runs

    assert (b"the first one's", 0) == with_store(url, work)


def test_what_is_forgotten_is_forgotten_at_once(url: str) -> None:
    """By every worker: none of them keeps a copy."""

    async def work(store: PinStore) -> list[bytes]:
        workers = [Worker(store), Worker(store)]
        for worker in workers:
            await worker.ask(Maker(b"old"))
        await store.forget([(I, "mail")])
        return [await worker.ask(Maker(b"new")) for worker in workers]

    assert [b"new", b"new"] == with_store(url, work)


def test_what_is_forgotten_while_it_is_made_is_made_again(url: str) -> None:
    """An answer that is not in the store is never given."""

    async def work(store: PinStore) -> tuple[bytes, int, bytes | None]:
        maker = Maker(b"made", lambda: store.forget([(I, "mail")]))
        return await Worker(store).ask(maker), maker.runs, await Worker(store).get(I, "mail")

    assert (b"made", 2, b"made") == with_store(url, work)


def test_what_cannot_be_stored_is_not_given(url: str) -> None:
    """The store failed while the handler ran; that the claim cannot be given up either changes nothing."""

    async def work(store: PinStore) -> None:
        with pytest.raises(PinsUnavailable, match=r"^the pin store does not answer \(OperationalError\)$"):
            await Worker(store).ask(Maker(during=lambda: execute(store.database, "DROP TABLE pins")))

    with_store(url, work)


def test_what_cannot_be_decrypted_is_not_made_anew(url: str) -> None:
    """The key may come back; until then there is an answer, which nobody knows."""

    async def work(store: PinStore) -> tuple[bytes, int]:
        keys = (Fernet.generate_key().decode(),)
        await Worker(store, keys).ask(Maker(b"secret"))
        maker = Maker()
        with pytest.raises(PinsUnavailable, match=r"^the pinned answer cannot be decrypted$"):
            await Worker(store).ask(maker)
        return await Worker(store, keys).ask(maker), maker.runs

    assert (b"secret", 0) == with_store(url, work)


def test_nothing_is_read_of_a_store_that_must_not_be_used(url: str) -> None:
    """Whoever opened it may find out later that it is another version's."""

    async def refuse() -> None:
        raise PinsUnavailable("planted")

    async def work(store: PinStore) -> None:
        with pytest.raises(PinsUnavailable, match=r"^planted$"):
            await Pins(store, PinCipher([]), LEASE, refuse).get(I, "mail")

    with_store(url, work)

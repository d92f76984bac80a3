"""Each instance gets its first answer, whichever worker asks, and whatever happens to the worker that creates it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import pytest
from cryptography.fernet import Fernet

from tests.support.pin_stores import age, body_of, execute, make_table, with_store
from vendorsrv import NotYet
from vendorsrv.answer import HandlerAnswer
from vendorsrv.database.engine import Database
from vendorsrv.database.url import async_url
from vendorsrv.errors import HandlerError, PinsUnavailable
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore

LEASE = 30.0
I = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"  # noqa: E741 - the instance


class Maker:
    """A handler that counts its runs.

    :param during: is awaited during the first run.
    """

    def __init__(self, answer: bytes = b"{}", during: Callable[[], Awaitable[object]] | None = None) -> None:
        self.answer = answer
        self.during = during
        self.runs = 0

    async def __call__(self) -> bytes:
        """Return the answer."""
        self.runs += 1
        if self.during and self.runs == 1:
            await self.during()
        return self.answer


class Worker(Pins):
    """The pins of one of several workers on a store."""

    def __init__(self, store: PinStore, keys: tuple[str, ...] = ()) -> None:
        super().__init__(store, PinCipher(keys), LEASE)

    async def ask(self, create: Callable[[], Awaitable[bytes]], seconds: float = 10.0) -> bytes:
        """Return the instance's answer of the handler ``mail``."""
        return await body_of(self, (I, "mail"), create, seconds)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An empty store."""
    made = f"sqlite:///{tmp_path}/pins.db"
    make_table(made)
    return made


async def nothing_yet() -> NoReturn:
    """Raise a provisional answer."""
    raise NotYet({"wait": True})


async def fail() -> NoReturn:
    """Raise an error of the handler."""
    raise HandlerError("planted")


@pytest.mark.parametrize("first", [b'{"role":"mail-server"}', b"{}", b"null"])
def test_the_first_answer_is_pinned(url: str, first: bytes) -> None:
    """Later runs do not change the first answer, even if it is `{}` or `null`."""

    async def work(store: PinStore) -> list[bytes]:
        return [await Worker(store).ask(Maker(answer)) for answer in (first, b"second", b"third")]

    assert [first] * 3 == with_store(url, work)


def test_each_instance_and_handler_has_its_own_pin(url: str) -> None:
    """Another handler or another instance gets another pin."""

    async def work(store: PinStore) -> list[bytes]:
        keys = [(I, "mail"), (I, "dns"), ("another", "mail")]
        answers = (b"1", b"2", b"3")
        return [await body_of(Worker(store), key, Maker(body)) for key, body in zip(keys, answers, strict=True)]

    assert [b"1", b"2", b"3"] == with_store(url, work)


def test_concurrent_callers_in_two_workers_share_one_run(url: str) -> None:
    """Twelve concurrent callers in two workers cause one run and get its answer."""

    async def work(store: PinStore) -> tuple[list[bytes], int]:
        makers = [Maker(b"%d" % number, lambda: asyncio.sleep(0.1)) for number in range(12)]
        workers = [Worker(store), Worker(store)]
        answers = await asyncio.gather(*(workers[number % 2].ask(maker) for number, maker in enumerate(makers)))
        return answers, sum(maker.runs for maker in makers)

    answers, runs = with_store(url, work)
    assert (1, 1) == (len(set(answers)), runs)


@pytest.mark.parametrize(("first", "error"), [(nothing_yet, NotYet), (fail, HandlerError)])
def test_an_error_or_a_provisional_answer_is_not_pinned(
    url: str, first: Callable[[], Awaitable[bytes]], error: type[Exception]
) -> None:
    """After NotYet or an error the claim is released, and the next caller's run is pinned at once."""

    async def work(store: PinStore) -> bytes:
        with pytest.raises(error):
            await Worker(store).ask(first)
        return await Worker(store).ask(Maker(b"later"), seconds=0.0)

    assert b"later" == with_store(url, work)


def test_a_cancelled_caller_does_not_stop_the_run(url: str) -> None:
    """When the caller that started a run is cancelled, the run goes on and its answer is pinned."""

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


def test_waiting_for_another_worker_ends_at_the_deadline(url: str) -> None:
    """A caller that waits for another worker's run fails at its deadline, without a run of its own."""

    async def work(store: PinStore) -> int:
        await store.claim(I, "mail", "alive", None)
        maker = Maker()
        with pytest.raises(PinsUnavailable, match=r"^another worker is still running handler mail for this instance$"):
            await Worker(store).ask(maker, seconds=0.1)
        return maker.runs

    assert 0 == with_store(url, work)


@pytest.mark.parametrize(("seconds", "runs"), [(LEASE + 1, 1), (LEASE - 10, 0), (-0.5, 0), (-3600.0, 1)])
def test_a_claim_expires_after_its_lease_or_when_it_is_from_the_future(url: str, seconds: float, runs: int) -> None:
    """A claim is replaced once its lease has passed, or when it is more than a second in the future."""

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


def test_a_worker_whose_claim_was_replaced_returns_the_pinned_answer(url: str) -> None:
    """A run that outlasts its claim returns the answer that another worker has pinned."""

    async def work(store: PinStore) -> tuple[bytes, HandlerAnswer | None]:
        async def during() -> None:
            await age(store, I, "mail", claimed_at=1.0)
            await Worker(store).ask(Maker(b"the other's"))

        return await Worker(store).ask(Maker(b"late", during)), await Worker(store).get(I, "mail")

    assert (b"the other's", HandlerAnswer(b"the other's")) == with_store(url, work)


def test_a_worker_that_loses_the_race_for_a_claim_waits_for_the_winner(url: str) -> None:
    """Of two workers that claim at once, the second returns the first one's answer without a run."""

    class Overtaken(PinStore):
        """A store in which another worker is always first."""

        async def claim(
            self, instance_id: str, handler: str, owner: str, expired: str | None, *, project_id: str | None = None
        ) -> bool:
            """Claim after another worker."""
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


def test_a_forgotten_pin_is_gone_in_every_worker_at_once(url: str) -> None:
    """After a pin was forgotten, every worker returns the new answer: none keeps a copy."""

    async def work(store: PinStore) -> list[bytes]:
        workers = [Worker(store), Worker(store)]
        for worker in workers:
            await worker.ask(Maker(b"old"))
        await store.forget([(I, "mail")])
        return [await worker.ask(Maker(b"new")) for worker in workers]

    assert [b"new", b"new"] == with_store(url, work)


def test_a_claim_forgotten_during_its_run_causes_a_second_run(url: str) -> None:
    """When a claim is forgotten while the handler runs, the handler runs again, and its answer is pinned."""

    async def work(store: PinStore) -> tuple[bytes, int, HandlerAnswer | None]:
        maker = Maker(b"made", lambda: store.forget([(I, "mail")]))
        return await Worker(store).ask(maker), maker.runs, await Worker(store).get(I, "mail")

    assert (b"made", 2, HandlerAnswer(b"made")) == with_store(url, work)


def test_an_answer_that_cannot_be_stored_is_not_returned(url: str) -> None:
    """When the store fails while the handler runs, the caller gets PinsUnavailable and no answer."""

    async def work(store: PinStore) -> None:
        with pytest.raises(PinsUnavailable, match=r"^the pin store does not answer \(OperationalError\)$"):
            await Worker(store).ask(Maker(during=lambda: execute(store.database, "DROP TABLE pins")))

    with_store(url, work)


def test_an_answer_that_cannot_be_decrypted_is_not_replaced(url: str) -> None:
    """Without its key a pin raises PinsUnavailable and no handler runs; with the key it is returned again."""

    async def work(store: PinStore) -> tuple[bytes, int]:
        keys = (Fernet.generate_key().decode(),)
        await Worker(store, keys).ask(Maker(b"secret"))
        maker = Maker()
        with pytest.raises(PinsUnavailable, match=r"^the pinned answer cannot be decrypted$"):
            await Worker(store).ask(maker)
        return await Worker(store, keys).ask(maker), maker.runs

    assert (b"secret", 0) == with_store(url, work)


def test_nothing_is_read_while_the_check_of_the_store_fails(url: str) -> None:
    """A failing check of the schema is raised instead of reading a pin."""

    async def refuse() -> None:
        raise PinsUnavailable("planted")

    async def work(store: PinStore) -> None:
        with pytest.raises(PinsUnavailable, match=r"^planted$"):
            await Pins(store, PinCipher([]), LEASE, refuse).get(I, "mail")

    with_store(url, work)

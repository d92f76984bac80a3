"""Tokens that wait for their validation: strangers keep neither others nor the check of readiness waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import Build, Clock, outcome
from tests.support.serving import run
from tests.support.waiting import wait_until
from vendorsrv.auth.tokens import Authenticator

#: No limit of time plays a part; Keystone's patience and ours are nets.
PATIENT = {"http_connect_timeout": 60}
IN_TIME = {"auth_timeout": 60, "request_timeout": 60}
NOT_VALID = "401 the X-Auth-Token is not valid"
TOO_MANY = "503 too many tokens wait for their validation"


async def asked(authenticator: Authenticator, tokens: Iterable[str], peer: str) -> list[asyncio.Task[str]]:
    """Ask for the validation of tokens, which wait from now on."""
    tasks = [asyncio.create_task(outcome(authenticator.validate(token, "/mail", peer))) for token in tokens]
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # single-flight runs each in a task of its own
    return tasks


async def until_held(fake: FakeKeystone) -> None:
    """Wait until Keystone has been asked about a token."""
    await asyncio.to_thread(wait_until, lambda: fake.validations)


@pytest.mark.parametrize(
    ("strangers", "peer"),
    [
        (["10.0.0.66"], "10.0.0.1"),
        (["10.0.0.66", "10.0.0.67", "10.0.0.68", "10.0.0.69"], "10.0.0.1"),
        (["2001:db8:0:66::1", "2001:db8:0:66::2", "2001:db8:0:66::3"], "2001:db8:0:1::1"),
    ],
)
def test_made_up_tokens_do_not_delay_a_valid_one(
    authenticator_of: Build, fake: FakeKeystone, strangers: list[str], peer: str
) -> None:
    """A valid token is validated before most of the made-up ones of other addresses that have waited for longer."""
    authenticator = authenticator_of(PATIENT, auth_threads=1, **IN_TIME)
    fake.strangers_go_on.clear()

    async def ask() -> tuple[set[str], str]:
        bad = []
        for number in range(20):
            for stranger in strangers:
                bad += await asked(authenticator, [f"gAAAAA{number}of{stranger}"], stranger)
        good = await asked(authenticator, [token], peer)
        await until_held(fake)
        fake.strangers_go_on.set()
        return set(await asyncio.gather(*bad)), await good[0]

    token = fake.issue("service")
    assert ({NOT_VALID}, "id-of-service-user") == run(ask())
    # One was with Keystone already, and each stranger had its turn. The addresses of a /64 are one stranger.
    networks = 1 if ":" in peer else len(strangers)
    assert networks + 1 >= list(fake.validations).index(token)


@pytest.mark.parametrize("known_by", ["peer", "token"])
def test_known_senders_do_not_wait_for_strangers(
    authenticator_of: Build, fake: FakeKeystone, clock: Clock, known_by: str
) -> None:
    """A token that was valid before, or comes from an address whose token was, goes before a hundred strangers."""
    authenticator = authenticator_of(PATIENT, auth_threads=1, **IN_TIME)
    before = fake.issue("service")
    token = before if known_by == "token" else fake.issue("service")

    async def ask() -> str:
        await asyncio.gather(*await asked(authenticator, [before], "10.0.0.1"))
        clock.now += 301.0  # token_cache_time
        fake.strangers_go_on.clear()
        fake.validations.clear()
        for number in range(100):
            await asked(authenticator, [f"gAAAAA{number}"], f"10.0.1.{number}")
        good = await asked(authenticator, [token], "10.0.0.1" if known_by == "peer" else "10.0.2.1")
        await until_held(fake)
        fake.strangers_go_on.set()
        return await good[0]

    assert "id-of-service-user" == run(ask())
    assert 2 >= list(fake.validations).index(token)


def test_a_peer_with_too_many_tokens_is_refused_at_once(
    authenticator_of: Build, fake: FakeKeystone, clock: Clock
) -> None:
    """When a peer's wait could not end within auth_timeout, its next token is 503 at once; another peer's is not."""
    authenticator = authenticator_of(PATIENT, auth_threads=1, **IN_TIME)

    async def ask() -> tuple[list[str], str]:
        fake.strangers_go_on.clear()
        slow = await asked(authenticator, ["gAAAAAslow"], "10.0.0.66")
        await until_held(fake)
        clock.now += 200.0  # a validation is now taken to last 50 s
        fake.strangers_go_on.set()
        await asyncio.gather(*slow)
        fake.strangers_go_on.clear()
        waiting = await asked(authenticator, ["gAAAAA1", "gAAAAA2", "gAAAAA3"], "10.0.0.66")
        refused = await asked(authenticator, ["gAAAAA4", "gAAAAA5"], "10.0.0.66")
        outcomes = await asyncio.gather(*refused)  # while the others wait
        good = await asked(authenticator, [fake.issue("service")], "10.0.0.1")
        assert not any(task.done() for task in (*waiting, *good))
        fake.strangers_go_on.set()
        return outcomes, await good[0]

    assert ([TOO_MANY] * 2, "id-of-service-user") == run(ask())
    assert 2.0 == authenticator.not_validated.counts.values[authenticator.not_validated.index]


def test_made_up_tokens_do_not_make_the_server_not_ready(authenticator_of: Build, fake: FakeKeystone) -> None:
    """The check of readiness succeeds while made-up tokens hold every thread for validations and fill the queue."""
    authenticator = authenticator_of(PATIENT, auth_threads=2, **IN_TIME)

    async def ask() -> int:
        fake.strangers_go_on.clear()
        bad = await asked(authenticator, [f"gAAAAA{number}" for number in range(50)], "10.0.0.66")
        await until_held(fake)
        await authenticator.check_ready()
        waiting = sum(not task.done() for task in bad)
        fake.strangers_go_on.set()
        await asyncio.gather(*bad)
        return waiting

    assert 50 == run(ask())

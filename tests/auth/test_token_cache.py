"""How often Keystone is asked, with a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import Build, Clock, outcome
from tests.support.serving import run
from vendorsrv.errors import KeystoneUnavailable


def test_a_hundred_requests_with_one_new_token_are_one_validation(authenticator_of: Build, fake: FakeKeystone) -> None:
    """All of them get the caller."""
    token = fake.issue("service")
    authenticator = authenticator_of()

    async def ask() -> list[str]:
        return await asyncio.gather(*(outcome(authenticator.validate(token, "/mail")) for _ in range(100)))

    assert ["id-of-service-user"] * 100 == run(ask())
    assert (1, 1) == (fake.validations[token], fake.logins)


def test_each_token_is_validated_for_itself(authenticator_of: Build, fake: FakeKeystone) -> None:
    """Ten tokens at once are ten validations and ten callers, and our own account needs one token."""
    tokens = [fake.issue("service", project=f"p{number}") for number in range(10)]
    authenticator = authenticator_of()

    async def ask() -> list[str]:
        return await asyncio.gather(*(outcome(authenticator.validate(token, "/mail")) for token in tokens))

    assert [f"id-of-p{number}-user" for number in range(10)] == run(ask())
    assert 10 == fake.validations.total()


class Kept(NamedTuple):
    """How long a token is good for, and how often Keystone is asked when it is used twice (all in seconds)."""

    cache_time: int
    lifetime: int
    passed: int
    validations: int


@pytest.mark.parametrize(
    "case",
    [
        Kept(300, 3600, 299, 1),
        Kept(300, 3600, 301, 2),
        Kept(300, 60, 50, 1),
        Kept(300, 60, 61, 2),
        Kept(-1, 3600, 0, 2),
        Kept(0, 3600, 0, 2),
    ],
)
def test_a_caller_is_kept_for_token_cache_time_and_never_past_the_expiry(
    authenticator_of: Build, fake: FakeKeystone, clock: Clock, case: Kept
) -> None:
    """Keystone is asked again when either time is over; -1 turns the cache off, as in keystonemiddleware."""
    token = fake.issue("service", seconds=case.lifetime)
    authenticator = authenticator_of({"token_cache_time": case.cache_time})
    run(authenticator.validate(token, "/mail"))
    clock.now += case.passed
    run(authenticator.validate(token, "/mail"))
    assert case.validations == fake.validations[token]


def test_a_revoked_token_is_good_until_its_time_in_the_cache_is_over(
    authenticator_of: Build, fake: FakeKeystone, clock: Clock
) -> None:
    """This window is token_cache_time, as in every OpenStack service."""
    token = fake.issue("service")
    authenticator = authenticator_of({"token_cache_time": 30})
    run(authenticator.validate(token, "/mail"))
    fake.revoke(token)
    assert "id-of-service-user" == run(outcome(authenticator.validate(token, "/mail")))
    clock.now += 31
    assert "401 the X-Auth-Token is not valid" == run(outcome(authenticator.validate(token, "/mail")))


@pytest.mark.parametrize("case", [Kept(10, 0, 9, 1), Kept(10, 0, 11, 2), Kept(0, 0, 0, 2)])
def test_a_refused_token_is_refused_for_a_while_without_asking(
    authenticator_of: Build, fake: FakeKeystone, clock: Clock, case: Kept
) -> None:
    """The time is invalid_token_cache_time; 0 turns it off."""
    authenticator = authenticator_of(invalid_token_cache_time=case.cache_time)
    run(outcome(authenticator.validate("gAAAAAbad", "/mail")))
    clock.now += case.passed
    assert "401 the X-Auth-Token is not valid" == run(outcome(authenticator.validate("gAAAAAbad", "/mail")))
    assert case.validations == fake.validations["gAAAAAbad"]


def test_refused_tokens_do_not_fill_the_memory(authenticator_of: Build) -> None:
    """Only 4,096 of them are remembered."""
    authenticator = authenticator_of()
    for number in range(5000):
        authenticator.invalid[b"%d" % number] = 2000.0
    assert 4096 == len(authenticator.invalid)


def test_a_refused_token_takes_little_memory_whatever_its_path(authenticator_of: Build) -> None:
    """A stranger may ask for a path of a megabyte; 32 bytes are kept."""
    authenticator = authenticator_of()
    run(outcome(authenticator.validate("gAAAAAbad", "/" + "a" * 2**20)))
    assert [32] == [len(key) for key in authenticator.invalid]


def test_a_known_token_needs_no_keystone(authenticator_of: Build, fake: FakeKeystone) -> None:
    """Nova's token is in the cache while Keystone restarts."""
    token = fake.issue("service")
    authenticator = authenticator_of()
    run(authenticator.validate(token, "/mail"))
    fake.stop()
    assert "id-of-service-user" == run(outcome(authenticator.validate(token, "/mail")))


def test_a_slow_answer_is_for_the_next_request(authenticator_of: Build, fake: FakeKeystone) -> None:
    """A validation that comes too late for the one who asked is kept for the one who asks again."""
    token = fake.issue("service")
    fake.goes_on.clear()
    authenticator = authenticator_of(auth_timeout=0.2)

    async def ask() -> list[str]:
        first = await outcome(authenticator.validate(token, "/mail"))
        fake.goes_on.set()
        await asyncio.wait(authenticator.single_flight.running.values(), timeout=60)
        return [first, await outcome(authenticator.validate(token, "/mail"))]

    assert ["503 the token could not be validated in time", "id-of-service-user"] == run(ask())
    assert 1 == fake.validations[token]


def test_access_rules_hold_for_a_token_that_is_known(authenticator_of: Build, fake: FakeKeystone) -> None:
    """What was validated for one path is validated again for another, and kept for the first."""
    token = fake.issue("service", paths=["/mail"])
    authenticator = authenticator_of({"service_type": "vendordata"})
    paths = ["/mail", "/dns", "/mail"]
    outcomes = [run(outcome(authenticator.validate(token, path))) for path in paths]
    assert ["id-of-service-user", "401 the X-Auth-Token is not valid", "id-of-service-user"] == outcomes
    assert 2 == fake.validations[token]


def test_ready_is_found_out_once_in_two_seconds(authenticator_of: Build, fake: FakeKeystone, clock: Clock) -> None:
    """Load balancers ask all day; Keystone need not."""
    authenticator = authenticator_of()
    run(authenticator.check_ready())
    run(authenticator.check_ready())
    assert 1 == fake.validations.total()
    clock.now += 2.1
    run(authenticator.check_ready())
    assert 2 == fake.validations.total()


@pytest.mark.parametrize(("role", "warnings"), [("service", 0), ("admin", 0), ("member", 1)])
def test_an_account_that_may_not_validate_is_named(
    authenticator_of: Build, fake: FakeKeystone, caplog: pytest.LogCaptureFixture, role: str, warnings: int
) -> None:
    """Its own token it may validate, so readiness alone would not show it."""
    fake.our_role = role
    run(authenticator_of().check_ready())
    assert warnings == caplog.text.count("has neither the role service nor admin")


@pytest.mark.parametrize("behaviour", ["failing", "hanging", "babbling", "refusing us"])
def test_a_server_without_keystone_is_not_ready(authenticator_of: Build, fake: FakeKeystone, behaviour: str) -> None:
    """In whatever way it is away."""
    fake.behaviour = behaviour
    authenticator = authenticator_of({"http_connect_timeout": 1}, auth_timeout=0.2)

    async def ask() -> str:
        try:
            await authenticator.check_ready()
        except KeystoneUnavailable as error:
            return error.message
        finally:
            fake.over.set()
        return "ready"

    assert "Keystone does not answer, or refuses the account in [keystone_authtoken]" == run(ask())


def test_a_server_whose_own_token_is_revoked_gets_a_new_one(
    authenticator_of: Build, fake: FakeKeystone, clock: Clock
) -> None:
    """The first attempt notices, the second one is well."""
    authenticator = authenticator_of()
    run(authenticator.check_ready())
    fake.tokens.clear()
    clock.now += 2.1
    with pytest.raises(KeystoneUnavailable):
        run(authenticator.check_ready())
    run(authenticator.check_ready())


def test_known_tokens_do_not_fill_the_memory(authenticator_of: Build, fake: FakeKeystone) -> None:
    """16,384 of them are kept; the one that was asked about longest ago goes first."""
    authenticator = authenticator_of()
    token = fake.issue("service")
    run(authenticator.validate(token, "/mail"))
    (found,) = authenticator.valid.values()
    for number in range(16_384):
        authenticator.keep_caller(b"%d" % number, found)
    run(authenticator.validate(token, "/mail"))
    assert (16_384, 2) == (len(authenticator.valid), fake.validations[token])

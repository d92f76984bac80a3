"""When tokens are validated again, with a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import Build, Clock, outcome
from tests.support.serving import run
from vendorsrv.errors import KeystoneUnavailable


def test_concurrent_requests_share_one_validation(authenticator_of: Build, fake: FakeKeystone) -> None:
    """A hundred concurrent requests with one new token cause one validation, and all get the token's owner."""
    token = fake.issue("service")
    authenticator = authenticator_of()

    async def ask() -> list[str]:
        return await asyncio.gather(*(outcome(authenticator.validate(token, "/mail")) for _ in range(100)))

    assert ["id-of-service-user"] * 100 == run(ask())
    assert (1, 1) == (fake.validations[token], fake.logins)


def test_different_tokens_have_their_own_validations(authenticator_of: Build, fake: FakeKeystone) -> None:
    """Ten concurrent requests with ten tokens cause ten validations and get ten owners."""
    tokens = [fake.issue("service", project=f"p{number}") for number in range(10)]
    authenticator = authenticator_of()

    async def ask() -> list[str]:
        return await asyncio.gather(*(outcome(authenticator.validate(token, "/mail")) for token in tokens))

    assert [f"id-of-p{number}-user" for number in range(10)] == run(ask())
    assert 10 == fake.validations.total()


class Reuse(NamedTuple):
    """A token that is used twice: times in seconds, and the number of validations."""

    cache_time: int
    lifetime: int
    passed: int
    validations: int


@pytest.mark.parametrize(
    "case",
    [
        Reuse(300, 3600, 299, 1),
        Reuse(300, 3600, 301, 2),
        Reuse(300, 60, 50, 1),
        Reuse(300, 60, 61, 2),
        Reuse(-1, 3600, 0, 2),
        Reuse(0, 3600, 0, 2),
    ],
)
def test_a_valid_token_is_cached_for_token_cache_time_and_not_past_its_expiry(
    authenticator_of: Build, fake: FakeKeystone, clock: Clock, case: Reuse
) -> None:
    """A token is validated again after token_cache_time or its expiry; -1 and 0 turn the cache off."""
    token = fake.issue("service", seconds=case.lifetime)
    authenticator = authenticator_of({"token_cache_time": case.cache_time})
    run(authenticator.validate(token, "/mail"))
    clock.now += case.passed
    run(authenticator.validate(token, "/mail"))
    assert case.validations == fake.validations[token]


def test_a_revoked_token_stays_valid_for_token_cache_time(
    authenticator_of: Build, fake: FakeKeystone, clock: Clock
) -> None:
    """A cached token that is revoked is refused after token_cache_time, as in every OpenStack service."""
    token = fake.issue("service")
    authenticator = authenticator_of({"token_cache_time": 30})
    run(authenticator.validate(token, "/mail"))
    fake.revoke(token)
    assert "id-of-service-user" == run(outcome(authenticator.validate(token, "/mail")))
    clock.now += 31
    assert "401 the X-Auth-Token is not valid" == run(outcome(authenticator.validate(token, "/mail")))


@pytest.mark.parametrize("case", [Reuse(10, 0, 9, 1), Reuse(10, 0, 11, 2), Reuse(0, 0, 0, 2)])
def test_an_invalid_token_is_cached_for_invalid_token_cache_time(
    authenticator_of: Build, fake: FakeKeystone, clock: Clock, case: Reuse
) -> None:
    """A refused token is refused without Keystone for invalid_token_cache_time; 0 turns this off."""
    authenticator = authenticator_of(invalid_token_cache_time=case.cache_time)
    run(outcome(authenticator.validate("gAAAAAbad", "/mail")))
    clock.now += case.passed
    assert "401 the X-Auth-Token is not valid" == run(outcome(authenticator.validate("gAAAAAbad", "/mail")))
    assert case.validations == fake.validations["gAAAAAbad"]


def test_at_most_4096_invalid_tokens_are_cached(authenticator_of: Build) -> None:
    """The cache of invalid tokens has a limit."""
    authenticator = authenticator_of()
    for number in range(5000):
        authenticator.invalid[b"%d" % number] = 2000.0
    assert 4096 == len(authenticator.invalid)


def test_a_cached_invalid_token_takes_32_bytes_whatever_its_path(authenticator_of: Build) -> None:
    """The path of a request with an invalid token, here a megabyte, does not grow the cache."""
    authenticator = authenticator_of()
    run(outcome(authenticator.validate("gAAAAAbad", "/" + "a" * 2**20)))
    assert [32] == [len(key) for key in authenticator.invalid]


def test_a_cached_token_is_valid_while_keystone_is_down(authenticator_of: Build, fake: FakeKeystone) -> None:
    """Requests with a cached token succeed while Keystone restarts."""
    token = fake.issue("service")
    authenticator = authenticator_of()
    run(authenticator.validate(token, "/mail"))
    fake.stop()
    assert "id-of-service-user" == run(outcome(authenticator.validate(token, "/mail")))


def test_a_validation_that_ends_too_late_serves_the_next_request(authenticator_of: Build, fake: FakeKeystone) -> None:
    """A validation that takes longer than auth_timeout is answered 503, goes on, and is cached."""
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


def test_a_cached_token_with_access_rules_is_valid_for_its_path_only(
    authenticator_of: Build, fake: FakeKeystone
) -> None:
    """A token with access rules that is cached for one path is validated again for another path."""
    token = fake.issue("service", paths=["/mail"])
    authenticator = authenticator_of({"service_type": "vendordata"})
    paths = ["/mail", "/dns", "/mail"]
    outcomes = [run(outcome(authenticator.validate(token, path))) for path in paths]
    assert ["id-of-service-user", "401 the X-Auth-Token is not valid", "id-of-service-user"] == outcomes
    assert 2 == fake.validations[token]


def test_readiness_is_checked_at_most_every_two_seconds(
    authenticator_of: Build, fake: FakeKeystone, clock: Clock
) -> None:
    """A successful check of Keystone is not repeated for two seconds."""
    authenticator = authenticator_of()
    run(authenticator.check_ready())
    run(authenticator.check_ready())
    assert 1 == fake.validations.total()
    clock.now += 2.1
    run(authenticator.check_ready())
    assert 2 == fake.validations.total()


@pytest.mark.parametrize(("role", "warnings"), [("service", 0), ("admin", 0), ("member", 1)])
def test_an_account_without_the_needed_role_is_logged(
    authenticator_of: Build, fake: FakeKeystone, caplog: pytest.LogCaptureFixture, role: str, warnings: int
) -> None:
    """The log warns when our account has neither the role service nor admin: it can validate its own tokens only."""
    fake.our_role = role
    run(authenticator_of().check_ready())
    assert warnings == caplog.text.count("has neither the role service nor admin")


@pytest.mark.parametrize("behaviour", ["failing", "hanging", "babbling", "refusing us"])
def test_a_server_without_keystone_is_not_ready(authenticator_of: Build, fake: FakeKeystone, behaviour: str) -> None:
    """The check of readiness fails with one message in whatever way Keystone fails."""
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


def test_after_its_own_token_was_revoked_the_server_gets_a_new_one(
    authenticator_of: Build, fake: FakeKeystone, clock: Clock
) -> None:
    """After our own token was revoked, one check of readiness fails and the next succeeds with a new token."""
    authenticator = authenticator_of()
    run(authenticator.check_ready())
    fake.tokens.clear()
    clock.now += 2.1
    with pytest.raises(KeystoneUnavailable):
        run(authenticator.check_ready())
    run(authenticator.check_ready())


def test_at_most_16384_valid_tokens_are_cached(authenticator_of: Build, fake: FakeKeystone) -> None:
    """When the cache of valid tokens is full, the one that was validated first is dropped."""
    authenticator = authenticator_of()
    token = fake.issue("service")
    run(authenticator.validate(token, "/mail"))
    (found,) = authenticator.valid.values()
    for number in range(16_384):
        authenticator.keep_caller(b"%d" % number, found)
    run(authenticator.validate(token, "/mail"))
    assert (16_384, 2) == (len(authenticator.valid), fake.validations[token])

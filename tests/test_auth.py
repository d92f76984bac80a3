"""Tokens and callers, with a fake Keystone on a real socket and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.fake_keystone import FakeKeystone
from tests.serving import run, write_config
from vendorsrv import Caller, ConfigError, Settings
from vendorsrv.auth import Authenticator
from vendorsrv.errors import KeystoneUnavailable, VendordataError


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


Make = Callable[..., Authenticator]


@pytest.fixture
def keystone() -> Iterator[FakeKeystone]:
    """A fake Keystone of the test's own."""
    with FakeKeystone() as keystone:
        yield keystone


@pytest.fixture
def clock() -> Clock:
    """The authenticator's clock."""
    return Clock()


@pytest.fixture
def make(tmp_path: Path, keystone: FakeKeystone, clock: Clock) -> Make:
    """Build an authenticator with options of ``[keystone_authtoken]`` and of ``[vendorsrv]``."""

    def build(authtoken: dict[str, object] | None = None, **options: Any) -> Authenticator:
        settings = Settings.from_file(write_config(tmp_path, keystone, authtoken=authtoken, **options))
        return Authenticator(settings, clock)

    return build


async def outcome(asked: Awaitable[Caller]) -> str:
    """Say how a validation ended."""
    try:
        return (await asked).user_id
    except VendordataError as error:
        return f"{error.status} {error.message}"


def test_a_token_says_who_calls(make: Make, keystone: FakeKeystone) -> None:
    """Everything that policies look at is there."""
    token = keystone.issue("service", "reader")
    assert Caller(
        user_id="id-of-service-user",
        user_name="user",
        user_domain_id="default",
        project_id="id-of-service",
        project_name="service",
        project_domain_id="default",
        roles=("service", "reader"),
    ) == run(make().validate(token, "/mail"))


def test_a_token_without_a_project_says_who_calls(make: Make, keystone: FakeKeystone) -> None:
    """System-scoped tokens have none."""
    token = keystone.issue("admin")
    del keystone.tokens[token]["project"]
    assert None is run(make().validate(token, "/mail")).project_id


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "401 the request has no X-Auth-Token"),
        ("", "401 the request has no X-Auth-Token"),
        (" ", "401 the X-Auth-Token is malformed"),
        ("one, two", "401 the X-Auth-Token is malformed"),
        ("a\u00e9", "401 the X-Auth-Token is malformed"),
        ("a\n", "401 the X-Auth-Token is malformed"),
        ("a" * 8193, "401 the X-Auth-Token is malformed"),
        ("gAAAAAunknown", "401 the X-Auth-Token is not valid"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_valid_token_is_refused(make: Make, token: str | None, message: str) -> None:
    """Each with its own message, and none with a word of the token."""
    assert message == run(outcome(make().validate(token, "/mail")))


@pytest.mark.parametrize("token", [None, " ", "one, two", "a" * 8193])
def test_keystone_is_not_asked_about_what_is_no_token(make: Make, keystone: FakeKeystone, token: str | None) -> None:
    """It would answer white space with an error of its own."""
    run(outcome(make().validate(token, "/mail")))
    assert (0, 0) == (keystone.logins, keystone.validations.total())


def test_an_expired_token_is_refused(make: Make, keystone: FakeKeystone) -> None:
    """Even when Keystone still shows it."""
    token = keystone.issue("service", seconds=-1)
    assert "401 the X-Auth-Token is not valid" == run(outcome(make().validate(token, "/mail")))


def test_a_hundred_requests_with_one_new_token_are_one_validation(make: Make, keystone: FakeKeystone) -> None:
    """All of them get the caller."""
    token = keystone.issue("service")
    authenticator = make()

    async def ask() -> list[str]:
        return await asyncio.gather(*(outcome(authenticator.validate(token, "/mail")) for _ in range(100)))

    assert ["id-of-service-user"] * 100 == run(ask())
    assert (1, 1) == (keystone.validations[token], keystone.logins)


def test_each_token_is_validated_for_itself(make: Make, keystone: FakeKeystone) -> None:
    """Ten tokens at once are ten validations and ten callers, and our own account needs one token."""
    tokens = [keystone.issue("service", project=f"p{number}") for number in range(10)]
    authenticator = make()

    async def ask() -> list[str]:
        return await asyncio.gather(*(outcome(authenticator.validate(token, "/mail")) for token in tokens))

    assert [f"id-of-p{number}-user" for number in range(10)] == run(ask())
    assert 10 == keystone.validations.total()


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
    make: Make, keystone: FakeKeystone, clock: Clock, case: Kept
) -> None:
    """Keystone is asked again when either time is over; -1 turns the cache off, as in keystonemiddleware."""
    token = keystone.issue("service", seconds=case.lifetime)
    authenticator = make({"token_cache_time": case.cache_time})
    run(authenticator.validate(token, "/mail"))
    clock.now += case.passed
    run(authenticator.validate(token, "/mail"))
    assert case.validations == keystone.validations[token]


def test_a_revoked_token_is_good_until_its_time_in_the_cache_is_over(
    make: Make, keystone: FakeKeystone, clock: Clock
) -> None:
    """This window is token_cache_time, as in every OpenStack service."""
    token = keystone.issue("service")
    authenticator = make({"token_cache_time": 30})
    run(authenticator.validate(token, "/mail"))
    keystone.revoke(token)
    assert "id-of-service-user" == run(outcome(authenticator.validate(token, "/mail")))
    clock.now += 31
    assert "401 the X-Auth-Token is not valid" == run(outcome(authenticator.validate(token, "/mail")))


@pytest.mark.parametrize("case", [Kept(10, 0, 9, 1), Kept(10, 0, 11, 2), Kept(0, 0, 0, 2)])
def test_a_refused_token_is_refused_for_a_while_without_asking(
    make: Make, keystone: FakeKeystone, clock: Clock, case: Kept
) -> None:
    """The time is invalid_token_cache_time; 0 turns it off."""
    authenticator = make(invalid_token_cache_time=case.cache_time)
    run(outcome(authenticator.validate("gAAAAAbad", "/mail")))
    clock.now += case.passed
    assert "401 the X-Auth-Token is not valid" == run(outcome(authenticator.validate("gAAAAAbad", "/mail")))
    assert case.validations == keystone.validations["gAAAAAbad"]


def test_refused_tokens_do_not_fill_the_memory(make: Make) -> None:
    """Only 4,096 of them are remembered."""
    authenticator = make()
    for number in range(5000):
        authenticator.invalid[b"%d" % number] = 2000.0
    assert 4096 == len(authenticator.invalid)


def test_a_refused_token_takes_little_memory_whatever_its_path(make: Make) -> None:
    """A stranger may ask for a path of a megabyte; 32 bytes are kept."""
    authenticator = make()
    run(outcome(authenticator.validate("gAAAAAbad", "/" + "a" * 2**20)))
    assert [32] == [len(key) for key in authenticator.invalid]


@pytest.mark.parametrize("behaviour", ["failing", "babbling", "refusing us"])
@pytest.mark.parametrize("warm", [False, True])
def test_keystone_in_trouble_is_not_the_caller_s_fault(
    make: Make, keystone: FakeKeystone, behaviour: str, warm: bool
) -> None:
    """Whether it never worked or has stopped working: 503, to be tried again in a second."""
    authenticator = make()
    if warm:
        run(authenticator.validate(keystone.issue("service"), "/mail"))
        keystone.tokens.clear()
    token = keystone.issue("service")
    keystone.behaviour = behaviour
    with pytest.raises(KeystoneUnavailable) as caught:
        run(authenticator.validate(token, "/mail"))
    assert (503, {"Retry-After": "1"}, "the token cannot be validated now") == (
        caught.value.status,
        caught.value.headers,
        caught.value.message,
    )


def test_keystone_down_is_503_and_up_again_is_well(make: Make, keystone: FakeKeystone) -> None:
    """Nothing of the outage is kept."""
    token = keystone.issue("service")
    authenticator = make()
    keystone.stop()
    assert "503 the token cannot be validated now" == run(outcome(authenticator.validate(token, "/mail")))
    keystone.start()
    assert "id-of-service-user" == run(outcome(authenticator.validate(token, "/mail")))


def test_a_known_token_needs_no_keystone(make: Make, keystone: FakeKeystone) -> None:
    """Nova's token is in the cache while Keystone restarts."""
    token = keystone.issue("service")
    authenticator = make()
    run(authenticator.validate(token, "/mail"))
    keystone.stop()
    assert "id-of-service-user" == run(outcome(authenticator.validate(token, "/mail")))


def test_a_hanging_keystone_takes_no_longer_than_auth_timeout(make: Make, keystone: FakeKeystone) -> None:
    """A hundred requests with ten tokens wait side by side, for the same fifth of a second."""
    tokens = [keystone.issue("service") for _ in range(10)]
    keystone.behaviour = "hanging"
    authenticator = make({"http_connect_timeout": 1}, auth_timeout=0.2, auth_threads=2)

    async def ask() -> tuple[set[str], float]:
        started = time.monotonic()
        outcomes = await asyncio.gather(*(outcome(authenticator.validate(token, "/m")) for token in tokens * 10))
        waited = time.monotonic() - started
        keystone.over.set()
        return set(outcomes), waited

    outcomes, waited = run(ask())
    assert {"503 the token could not be validated in time"} == outcomes
    assert 1.0 > waited


def test_a_slow_answer_is_for_the_next_request(make: Make, keystone: FakeKeystone) -> None:
    """A validation that comes too late for the one who asked is kept for the one who asks again."""
    token = keystone.issue("service")
    keystone.delay = 0.1
    authenticator = make(auth_timeout=0.2)

    async def ask() -> list[str]:
        first = await outcome(authenticator.validate(token, "/mail"))
        await asyncio.wait(authenticator.flights.running.values(), timeout=5)
        return [first, await outcome(authenticator.validate(token, "/mail"))]

    assert ["503 the token could not be validated in time", "id-of-service-user"] == run(ask())
    assert 1 == keystone.validations[token]


def test_an_unreadable_ca_file_is_503_and_logged(make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The caller may try again; the operator reads which file it is."""
    authenticator = make({"auth_url": "https://127.0.0.1:9/v3", "cafile": tmp_path / "none.pem"})
    assert "503 the token cannot be validated now" == run(outcome(authenticator.validate("gAAAAA", "/mail")))
    assert f"invalid path: {tmp_path}/none.pem" in caplog.text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/mail", "id-of-service-user"),
        ("/dns", "401 the X-Auth-Token is not valid"),
        ("/", "401 the X-Auth-Token is not valid"),
        ("/mail/", "401 the X-Auth-Token is not valid"),
        ("/\u20ac", "401 the X-Auth-Token is not valid"),
        ("/\ufffd", "401 the X-Auth-Token is not valid"),
    ],
)
def test_access_rules_hold_for_their_path(make: Make, keystone: FakeKeystone, path: str, expected: str) -> None:
    """The token of a restricted application credential is good for the path of its rules, and for no other."""
    token = keystone.issue("service", paths=["/mail"])
    authenticator = make({"service_type": "vendordata"})
    assert expected == run(outcome(authenticator.validate(token, path)))


def test_access_rules_hold_for_a_token_that_is_known(make: Make, keystone: FakeKeystone) -> None:
    """What was validated for one path is validated again for another, and kept for the first."""
    token = keystone.issue("service", paths=["/mail"])
    authenticator = make({"service_type": "vendordata"})
    paths = ["/mail", "/dns", "/mail"]
    outcomes = [run(outcome(authenticator.validate(token, path))) for path in paths]
    assert ["id-of-service-user", "401 the X-Auth-Token is not valid", "id-of-service-user"] == outcomes
    assert 2 == keystone.validations[token]


def test_access_rules_without_a_service_type_admit_nothing(make: Make, keystone: FakeKeystone) -> None:
    """They cannot be matched, and so the token is refused."""
    token = keystone.issue("service", paths=["/mail"])
    assert "401 the X-Auth-Token is not valid" == run(outcome(make().validate(token, "/mail")))


def test_ready_is_found_out_once_in_two_seconds(make: Make, keystone: FakeKeystone, clock: Clock) -> None:
    """Load balancers ask all day; Keystone need not."""
    authenticator = make()
    run(authenticator.check_ready())
    run(authenticator.check_ready())
    assert 1 == keystone.validations.total()
    clock.now += 2.1
    run(authenticator.check_ready())
    assert 2 == keystone.validations.total()


@pytest.mark.parametrize("behaviour", ["failing", "hanging", "babbling", "refusing us"])
def test_a_server_without_keystone_is_not_ready(make: Make, keystone: FakeKeystone, behaviour: str) -> None:
    """In whatever way it is away."""
    keystone.behaviour = behaviour
    authenticator = make({"http_connect_timeout": 1}, auth_timeout=0.2)

    async def ask() -> str:
        try:
            await authenticator.check_ready()
        except KeystoneUnavailable as error:
            return error.message
        finally:
            keystone.over.set()
        return "ready"

    assert "Keystone does not answer, or refuses the account in [keystone_authtoken]" == run(ask())


def test_a_server_whose_own_token_is_revoked_gets_a_new_one(make: Make, keystone: FakeKeystone, clock: Clock) -> None:
    """The first attempt notices, the second one is well."""
    authenticator = make()
    run(authenticator.check_ready())
    keystone.tokens.clear()
    clock.now += 2.1
    with pytest.raises(KeystoneUnavailable):
        run(authenticator.check_ready())
    run(authenticator.check_ready())


@pytest.mark.parametrize(
    ("authtoken", "challenge"),
    [
        ({"www_authenticate_uri": "https://public.example:5000"}, 'Keystone uri="https://public.example:5000"'),
        ({"www_authenticate_uri": None, "auth_url": "http://k:5000/v3"}, 'Keystone uri="http://k:5000/v3"'),
    ],
)
def test_the_challenge_names_keystone(make: Make, authtoken: dict[str, object], challenge: str) -> None:
    """As keystonemiddleware has it; the account's own URL is the second choice."""
    assert challenge == make(authtoken).challenge


def test_an_incomplete_section_is_refused(make: Make) -> None:
    """Before any request, and without Keystone; the message names every option."""
    with pytest.raises(ConfigError) as caught:
        make({"auth_url": None, "password": None})
    text = str(caught.value)
    assert (True, True) == ("[keystone_authtoken] auth_url" in text, "[keystone_authtoken] password" in text)

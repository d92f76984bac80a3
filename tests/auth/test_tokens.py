"""Validation of tokens, with a fake Keystone on a real socket and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import Build, outcome
from tests.support.serving import run
from vendorsrv import Caller, ConfigError
from vendorsrv.errors import KeystoneUnavailable


def test_a_valid_token_returns_its_owner(authenticator_of: Build, fake: FakeKeystone) -> None:
    """A valid token returns its owner's user, project, domains and roles."""
    token = fake.issue("service", "reader")
    assert Caller(
        user_id="id-of-service-user",
        user_name="user",
        user_domain_id="default",
        project_id="id-of-service",
        project_name="service",
        project_domain_id="default",
        roles=("service", "reader"),
    ) == run(authenticator_of().validate(token, "/mail"))


def test_a_token_without_a_project_is_valid(authenticator_of: Build, fake: FakeKeystone) -> None:
    """A system-scoped token returns an owner without a project."""
    token = fake.issue("admin")
    del fake.tokens[token]["project"]
    assert None is run(authenticator_of().validate(token, "/mail")).project_id


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
def test_an_invalid_token_is_refused_without_quoting_it(
    authenticator_of: Build, token: str | None, message: str
) -> None:
    """A missing, malformed or unknown token is answered 401 with a message that does not quote it."""
    assert message == run(outcome(authenticator_of().validate(token, "/mail")))


@pytest.mark.parametrize("token", [None, " ", "one, two", "a" * 8193])
def test_a_malformed_token_is_not_sent_to_keystone(
    authenticator_of: Build, fake: FakeKeystone, token: str | None
) -> None:
    """A missing or malformed token is refused without a request to Keystone."""
    run(outcome(authenticator_of().validate(token, "/mail")))
    assert (0, 0) == (fake.logins, fake.validations.total())


def test_an_expired_token_is_refused(authenticator_of: Build, fake: FakeKeystone) -> None:
    """An expired token is refused even if Keystone still validates it."""
    token = fake.issue("service", seconds=-1)
    assert "401 the X-Auth-Token is not valid" == run(outcome(authenticator_of().validate(token, "/mail")))


@pytest.mark.parametrize("behaviour", ["failing", "babbling", "refusing us"])
@pytest.mark.parametrize("warm", [False, True])
def test_a_failing_keystone_is_answered_503_with_retry_after(
    authenticator_of: Build, fake: FakeKeystone, behaviour: str, warm: bool
) -> None:
    """When Keystone fails, at the first request or later, requests are answered 503 with Retry-After: 1."""
    authenticator = authenticator_of()
    if warm:
        run(authenticator.validate(fake.issue("service"), "/mail"))
        fake.tokens.clear()
    token = fake.issue("service")
    fake.behaviour = behaviour
    with pytest.raises(KeystoneUnavailable) as caught:
        run(authenticator.validate(token, "/mail"))
    assert (503, {"Retry-After": "1"}, "the token cannot be validated now") == (
        caught.value.status,
        caught.value.headers,
        caught.value.message,
    )


def test_after_an_outage_of_keystone_tokens_are_valid_at_once(authenticator_of: Build, fake: FakeKeystone) -> None:
    """A token that got 503 while Keystone was down is validated as soon as it is up."""
    token = fake.issue("service")
    authenticator = authenticator_of()
    fake.stop()
    assert "503 the token cannot be validated now" == run(outcome(authenticator.validate(token, "/mail")))
    fake.start()
    assert "id-of-service-user" == run(outcome(authenticator.validate(token, "/mail")))


def test_a_hanging_keystone_takes_no_longer_than_auth_timeout(authenticator_of: Build, fake: FakeKeystone) -> None:
    """A hundred tokens that hang in two threads are all answered 503 after one auth_timeout."""
    tokens = [fake.issue("service") for _ in range(100)]
    fake.behaviour = "hanging"
    authenticator = authenticator_of({"http_connect_timeout": 1}, auth_timeout=0.2, auth_threads=2)

    async def ask() -> tuple[set[str], float]:
        started = time.monotonic()
        outcomes = await asyncio.gather(*(outcome(authenticator.validate(token, "/m")) for token in tokens))
        waited = time.monotonic() - started
        fake.over.set()
        return set(outcomes), waited

    outcomes, waited = run(ask())
    assert {"503 the token could not be validated in time"} == outcomes
    assert 5.0 > waited  # one after the other it would be ten


def test_an_unreadable_ca_file_is_503_and_logged(
    authenticator_of: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When the CA file cannot be read, requests are answered 503 and the log names the file."""
    authenticator = authenticator_of({"auth_url": "https://127.0.0.1:9/v3", "cafile": tmp_path / "none.pem"})
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
def test_access_rules_hold_for_their_path(
    authenticator_of: Build, fake: FakeKeystone, path: str, expected: str
) -> None:
    """The token of a restricted application credential is valid for the path of its rules only."""
    token = fake.issue("service", paths=["/mail"])
    authenticator = authenticator_of({"service_type": "vendordata"})
    assert expected == run(outcome(authenticator.validate(token, path)))


def test_without_a_service_type_a_token_with_access_rules_is_refused(
    authenticator_of: Build, fake: FakeKeystone
) -> None:
    """Without service_type, access rules match nothing and the token is refused."""
    token = fake.issue("service", paths=["/mail"])
    assert "401 the X-Auth-Token is not valid" == run(outcome(authenticator_of().validate(token, "/mail")))


@pytest.mark.parametrize(
    ("authtoken", "challenge"),
    [
        ({"www_authenticate_uri": "https://public.example:5000"}, 'Keystone uri="https://public.example:5000"'),
        ({"www_authenticate_uri": None, "auth_url": "http://k:5000/v3"}, 'Keystone uri="http://k:5000/v3"'),
    ],
)
def test_the_challenge_names_keystone(authenticator_of: Build, authtoken: dict[str, object], challenge: str) -> None:
    """WWW-Authenticate names www_authenticate_uri, or the account's auth_url without one."""
    assert challenge == authenticator_of(authtoken).challenge


@pytest.mark.parametrize(
    ("authtoken", "problem"),
    [
        ({"auth_type": "nosuch"}, "auth_type: unknown plugin 'nosuch'; most clouds use password"),
        ({"auth_type": None}, "auth_type: required"),
        ({"delay_auth_decision": True}, "delay_auth_decision: must be off"),
        ({"token_cache_time": "soon"}, "token_cache_time: invalid literal for int() with base 10: 'soon'"),
        ({"project_name": None}, "project_name: required"),
        ({"auth_type": "v3applicationcredential"}, "application_credential_secret: required"),
    ],
)
def test_a_section_that_cannot_work_is_refused_with_its_reason(
    authenticator_of: Build, authtoken: dict[str, object], problem: str
) -> None:
    """A section with which no token can be validated is refused with the option and the reason."""
    with pytest.raises(ConfigError) as caught:
        authenticator_of(authtoken)
    assert f"[keystone_authtoken] {problem}" in str(caught.value)

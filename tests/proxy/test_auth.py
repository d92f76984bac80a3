"""What a proxy is known by: Nova's token, one of our own, a password, a certificate, or nothing."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from tests.support.fake_keystone import ACCOUNT, PASSWORD, FakeKeystone
from tests.support.serving import BODY, run, section
from tests.support.upstreams import Other, proxy, proxying
from vendorsrv.auth.service import ServiceToken
from vendorsrv.errors import KeystoneUnavailable
from vendorsrv.testing.upstream import Received, Reply


@pytest.fixture
def other() -> Iterator[Other]:
    """Another vendordata server."""
    with Other() as other:
        yield other


def account(keystone: FakeKeystone, **options: object) -> dict[str, Any]:
    """Give the options of the account that the fake Keystone knows."""
    return {
        "auth_type": "password",
        "auth_url": keystone.url,
        "username": ACCOUNT,
        "password": PASSWORD,
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        **options,
    }


def tokens(other: Other) -> list[str | None]:
    """Give the tokens that the other server was sent."""
    return [request.headers.get("X-Auth-Token") for request in other.received]


def test_no_credentials_are_sent_by_default(tmp_path: Path, other: Other) -> None:
    """Without auth the upstream gets no token."""
    with proxying(tmp_path, proxy(url=other.url)) as front:
        front.ask()
    assert [None] == tokens(other)


def test_relay_sends_the_caller_s_token(tmp_path: Path, other: Other) -> None:
    """With ``auth = relay`` the upstream gets the token that Nova sent."""
    with proxying(tmp_path, proxy(url=other.url, auth="relay", relay_hosts="127.0.0.1")) as front:
        front.ask()
    assert [front.token] == tokens(other)


def test_no_secret_of_a_request_is_logged(tmp_path: Path, other: Other, caplog: pytest.LogCaptureFixture) -> None:
    """The token, the request and the answer are in no log line, at any level."""
    caplog.set_level(logging.DEBUG)
    other.reply = Reply(b'{"rack": "r1-secret"}', {"X-Secret": "planted"})
    text = proxy(url=other.url, auth="relay", relay_hosts="127.0.0.1")
    with proxying(tmp_path, text) as front:
        front.ask()
        other.reply = Reply(b'{"rack": "r1-secret"', {"X-Secret": "planted"})
        front.ask()
        other.stop()
        front.ask()
    assert "upstream rack" in caplog.text
    assert [] == [secret for secret in (front.token, "r1-secret", "planted", "web-1") if secret in caplog.text]


def test_relay_caches_for_each_caller_separately(tmp_path: Path, other: Other) -> None:
    """A caller never gets an answer that was cached, or is stale, for another one."""
    other.reply = Reply(headers={"Cache-Control": "max-age=60"})
    text = proxy(url=other.url, auth="relay", relay_hosts=f"127.0.0.1:{other.port}", on_error="stale")
    with proxying(tmp_path, text) as front:
        second = front.keystone.issue("service", project="elsewhere")
        for token in (front.token, second, front.token, second):
            front.server.ask("/rack", token)
        other.stop()
        third = front.keystone.issue("service", project="third")
        assert 502 == front.server.ask("/rack", third).status_code
    assert [front.token, second] == tokens(other)


def test_basic_sends_the_name_and_the_password_in_utf_8(tmp_path: Path, other: Other) -> None:
    """With ``auth = basic`` the upstream gets an Authorization header."""
    text = proxy(url=other.url, auth="basic", basic_username="rack", basic_password="g\u00fcte:1")
    with proxying(tmp_path, text) as front:
        front.ask()
    assert "Basic cmFjazpnw7x0ZTox" == other.received[0].headers["Authorization"]


def test_service_sends_a_token_of_our_own_account(tmp_path: Path, other: Other, fake: FakeKeystone) -> None:
    """With ``auth = service`` one token serves all requests, and the caller's is not sent."""
    with proxying(tmp_path, proxy(url=other.url, auth="service", **account(fake))) as front:
        for _ in range(3):
            front.ask()
    assert front.token not in tokens(other)
    assert {*fake.tokens} == {*tokens(other)}
    assert 1 == fake.logins


def test_proxies_may_share_an_account(tmp_path: Path, other: Other, fake: FakeKeystone) -> None:
    """Two proxies may name the same auth_section."""
    text = [proxy(name, url=other.url, auth="service", auth_section="upstreams") for name in ("rack", "site")]
    with proxying(tmp_path, *text, section("upstreams", account(fake))) as front:
        assert 200 == front.ask("/").status_code
    assert {*fake.tokens} == {*tokens(other)}


def test_the_server_s_own_account_may_be_used(tmp_path: Path, other: Other) -> None:
    """``auth_section`` may name keystone_authtoken."""
    with proxying(tmp_path, proxy(url=other.url, auth="service", auth_section="keystone_authtoken")) as front:
        assert 200 == front.ask().status_code
        assert tokens(other)[0] in front.keystone.tokens


def test_a_token_that_the_upstream_refuses_is_renewed_once(tmp_path: Path, other: Other, fake: FakeKeystone) -> None:
    """After a 401 one new token is tried, and no third."""

    def reply(received: Received) -> Reply:
        return Reply(status=200 if received.headers["X-Auth-Token"] != first else 401)

    with proxying(tmp_path, proxy(url=other.url, auth="service", **account(fake))) as front:
        front.ask()
        first = tokens(other)[0]
        other.reply = reply
        assert 200 == front.ask().status_code
        other.reply = Reply(status=401)
        assert (502, "upstream rack answered with status 401") == front.outcome()
    assert (5, 3) == (len(other.received), fake.logins)


@pytest.mark.parametrize("behaviour", ["failing", "babbling", "refusing us"])
def test_an_unavailable_keystone_fails_the_request_without_calling_the_upstream(
    tmp_path: Path, other: Other, fake: FakeKeystone, behaviour: str
) -> None:
    """Without a token of our own the answer is 503, and the upstream is not called."""
    fake.behaviour = behaviour
    with proxying(tmp_path, proxy(url=other.url, auth="service", **account(fake))) as front:
        assert (503, "cannot get a token for upstream rack") == front.outcome()
    assert [] == other.received


def service_token(keystone: FakeKeystone) -> ServiceToken:
    """Give an account's token without a proxy."""
    auth = v3.Password(
        keystone.url,
        username=ACCOUNT,
        password=PASSWORD,
        user_domain_name="Default",
        project_name="service",
        project_domain_name="Default",
    )
    return ServiceToken(Session(auth=auth, timeout=60), "upstream rack")


async def together(token: ServiceToken, refused: str | None = None) -> set[str]:
    """Ask for the token twenty times at once."""
    return {*await asyncio.gather(*(token.get(refused) for _ in range(20)))}


def test_concurrent_requests_share_one_login(fake: FakeKeystone) -> None:
    """Twenty requests share one login at first use, and one after they were refused with the same token."""
    fake.delay = 0.05

    async def story() -> list[int]:
        token, logins = service_token(fake), []
        (first,) = await together(token)
        logins.append(fake.logins)
        (second,) = await together(token, refused=first)
        logins.append(fake.logins)
        assert {second} == await together(token, refused=first)
        return [*logins, fake.logins]

    assert [1, 2, 2] == run(story())


def test_a_token_is_renewed_in_its_last_two_minutes(fake: FakeKeystone) -> None:
    """A token that is about to expire is replaced, once."""

    async def story() -> list[int]:
        token = service_token(fake)
        await token.get()
        reference = token.session.auth.auth_ref  # type: ignore[union-attr]
        reference._data["token"]["expires_at"] = "2020-01-01T00:00:00.000000Z"  # noqa: SLF001
        await token.get()
        await token.get()
        return [fake.logins]

    assert [2] == run(story())


def test_a_login_that_hangs_is_given_up(fake: FakeKeystone) -> None:
    """Getting a token from a Keystone that hangs fails after the timeout."""
    fake.behaviour = "hanging"

    async def story() -> None:
        token = service_token(fake)
        token.session.timeout = 0.1
        with pytest.raises(KeystoneUnavailable):
            await token.get()

    run(story())


class Authorities:
    """A certificate authority of ours, and another one; a server's and a client's certificates of ours."""

    def __init__(self, directory: Path) -> None:
        ours, others = trustme.CA(), trustme.CA()
        self.ours, self.others = directory / "ours.pem", directory / "others.pem"
        ours.cert_pem.write_to_path(self.ours)
        others.cert_pem.write_to_path(self.others)
        self.client = directory / "client.pem"
        ours.issue_cert("vendorsrv.example").private_key_and_cert_chain_pem.write_to_path(self.client)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ours.issue_cert("127.0.0.1").configure_cert(self.context)
        self.wrong_name = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ours.issue_cert("elsewhere.example").configure_cert(self.wrong_name)
        self.asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ours.issue_cert("127.0.0.1").configure_cert(self.asking)
        ours.configure_trust(self.asking)
        self.asking.verify_mode = ssl.CERT_REQUIRED


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    """The certificates of this module."""
    return Authorities(tmp_path_factory.mktemp("certificates"))


def test_a_certificate_that_cafile_trusts_is_accepted(tmp_path: Path, authorities: Authorities) -> None:
    """The upstream's certificate is verified with ``cafile``."""
    with (
        Other(authorities.context) as other,
        proxying(tmp_path, proxy(url=other.url, cafile=authorities.ours)) as front,
    ):
        assert (200, {"rack": "r1"}) == front.outcome()


@pytest.mark.parametrize("why", ["authority", "system", "name"])
def test_an_untrusted_certificate_is_an_error(tmp_path: Path, authorities: Authorities, why: str) -> None:
    """With a certificate of another authority or another name the answer is 502, and nothing is sent."""
    cafile = {"authority": authorities.others, "system": None, "name": authorities.ours}[why]
    with (
        Other(authorities.wrong_name if why == "name" else authorities.context) as other,
        proxying(tmp_path, proxy(url=other.url, cafile=cafile)) as front,
    ):
        assert (502, "upstream rack cannot be reached") == front.outcome()
        assert [] == other.received


def test_mtls_presents_the_client_certificate(tmp_path: Path, authorities: Authorities) -> None:
    """With ``auth = mtls`` the upstream gets our certificate; without it the connection fails."""
    with Other(authorities.asking) as other:
        text = proxy(url=other.url, cafile=authorities.ours, auth="mtls", certfile=authorities.client)
        with proxying(tmp_path, text, proxy("bare", url=other.url, cafile=authorities.ours)) as front:
            assert (200, {"rack": "r1"}) == front.outcome()
            assert 502 == front.outcome("/bare", body=BODY)[0]
        assert 1 == len(other.received)

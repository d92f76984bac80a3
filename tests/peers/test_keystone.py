"""Our real server and the real Keystone: whose tokens are taken, and what becomes of requests when it is away."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from tests.support.keystone import NOVA, NOVA_ADMIN, TENANT, VENDORSRV, Account, Keystone, issued
from tests.support.peers.server import Options, Server, error_of
from tests.support.waiting import wait_until

NOT_VALID = (401, "unauthorized", "the X-Auth-Token is not valid")
NOT_ALLOWED = (403, "forbidden", "the owner of the token may not ask for vendordata")
NOT_NOW = (503, "keystone_unavailable", "the token cannot be validated now")


@pytest.fixture(scope="module")
def forgetful(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our server, keeping tokens for one second, known to Keystone's catalogue as a service of type vendordata."""
    service = {"service": {"type": "vendordata", "name": "vendorsrv"}}
    service_id = keystone.request("POST", "/services", service)["service"]["id"]
    options: Options = {
        "vendorsrv": {"handlers": "mailserver, tests.support.peers.handlers:Received"},
        "keystone_authtoken": {"token_cache_time": 1, "service_type": "vendordata"},
    }
    with Server(tmp_path_factory.mktemp("forgetful"), keystone, options) as server:
        yield server
    keystone.request("DELETE", f"/services/{service_id}")


def restricted_token(keystone: Keystone, path: str) -> str:
    """A token of Nova's user, by an application credential that is good for posting to this path alone."""
    session = keystone.session(*NOVA)
    rule = {"service": "vendordata", "method": "POST", "path": path}
    made = session.post(
        f"{keystone.url}/users/{session.get_user_id()}/application_credentials",
        json={"application_credential": {"name": secrets.token_hex(4), "access_rules": [rule]}},
    ).json()["application_credential"]
    return issued(
        Session(
            auth=v3.ApplicationCredential(
                keystone.url, application_credential_id=made["id"], application_credential_secret=made["secret"]
            ),
            timeout=30,
        )
    )


def unscoped_token(keystone: Keystone) -> str:
    """A token of Nova's user for no project."""
    auth = v3.Password(keystone.url, NOVA.password, username=NOVA.user, user_domain_id="default", unscoped=True)
    return issued(Session(auth=auth, timeout=30))


@pytest.mark.parametrize("account", [NOVA, NOVA_ADMIN], ids=["service", "admin-in-service"])
def test_nova_is_admitted(keystone: Keystone, served: Server, account: Account) -> None:
    """The role service is admitted, and so is admin in the project service."""
    assert 200 == served.post("/received", keystone.token(account)).status_code


@pytest.mark.parametrize("role", ["member", "manager", "admin"])
def test_a_tenant_is_refused(keystone: Keystone, served: Server, role: str) -> None:
    """A tenant is refused, and so is an administrator of another project."""
    account = Account(f"tenant-{role}", "tenant-role-password", "demo")
    keystone.create_user(*account, [role])
    assert NOT_ALLOWED == error_of(served.post("/received", keystone.token(account)))


def test_a_token_without_a_project(keystone: Keystone, served: Server) -> None:
    """An unscoped token is refused: it has no roles."""
    assert NOT_ALLOWED == error_of(served.post("/received", unscoped_token(keystone)))


@pytest.mark.parametrize("token", ["expired_token", "revoked_token", "fragile_token"])
def test_a_token_that_is_not_valid(served: Server, request: pytest.FixtureRequest, token: str) -> None:
    """An expired, revoked or foreign token is refused with a challenge."""
    response = served.post("/received", request.getfixturevalue(token))
    assert NOT_VALID == error_of(response)
    assert response.headers["WWW-Authenticate"].startswith('Keystone uri="http://127.0.0.1:')


@pytest.fixture
def fragile_token(fragile_keystone: Keystone) -> str:
    """A token of the other Keystone."""
    return fragile_keystone.token(NOVA)


def short_token_that_was_taken(keystone: Keystone, server: Server) -> str:
    """A token that was accepted and will soon be over; the busier the machine, the later."""
    for seconds in (1, 5, 20, 40):
        token = keystone.short_token(NOVA, seconds)
        if server.post("/received", token).status_code == 200:
            return token
    raise AssertionError("no short token is accepted")


def test_a_cached_token_expires(keystone: Keystone, served: Server) -> None:
    """A cached token is refused once it has expired."""
    token = short_token_that_was_taken(keystone, served)
    wait_until(lambda: served.post("/received", token).status_code == 401)


def test_a_cached_token_is_revoked(keystone: Keystone, forgetful: Server) -> None:
    """A revoked token is refused when the cache's time is over."""
    token = keystone.token(NOVA)
    assert 200 == forgetful.post("/received", token).status_code
    keystone.revoke(token)
    wait_until(lambda: forgetful.post("/received", token).status_code == 401)


def test_a_role_is_taken_away(keystone: Keystone, forgetful: Server) -> None:
    """A user who lost the role service is refused with the old token when the cache's time is over."""
    account = Account("leaving", "leaving-password", "service")
    user = keystone.create_user(*account, ["service", "member"])
    token = keystone.token(account)
    assert 200 == forgetful.post("/received", token).status_code
    [role] = keystone.request("GET", "/roles?name=service")["roles"]
    [project] = keystone.request("GET", "/projects?name=service")["projects"]
    keystone.request("DELETE", f"/projects/{project['id']}/users/{user}/roles/{role['id']}")
    wait_until(lambda: forgetful.post("/received", token).status_code != 200)
    assert NOT_ALLOWED == error_of(forgetful.post("/received", token))


@pytest.mark.parametrize("first", ["/received", "/mailserver"])
def test_access_rules(keystone: Keystone, forgetful: Server, first: str) -> None:
    """A token with access rules is accepted for their path only, whichever path comes first."""
    token = restricted_token(keystone, "/received")
    asked = [forgetful.post(path, token).status_code for path in (first, "/received", "/mailserver", "/")]
    assert [200 if first == "/received" else 401, 200, 401, 401] == asked


def test_one_validation_for_a_hundred_requests(keystone: Keystone, served: Server, nova_token: str) -> None:
    """A hundred concurrent requests with a new token cause one validation."""
    assert served.ready()
    before = keystone.requests("GET", "/v3/auth/tokens")
    with ThreadPoolExecutor(100) as pool:
        statuses = list(pool.map(lambda _: served.post("/received", nova_token).status_code, range(100)))
    assert [200] * 100 == statuses
    assert before + 1 == keystone.requests("GET", "/v3/auth/tokens")


def test_one_refusal_for_a_hundred_requests(keystone: Keystone, served: Server, revoked_token: str) -> None:
    """A hundred concurrent requests with a bad token cause one validation."""
    assert served.ready()
    before = keystone.requests("GET", "/v3/auth/tokens")
    with ThreadPoolExecutor(100) as pool:
        statuses = list(pool.map(lambda _: served.post("/received", revoked_token).status_code, range(100)))
    assert [401] * 100 == statuses
    assert before + 1 == keystone.requests("GET", "/v3/auth/tokens")


@pytest.mark.parametrize(
    "account", [VENDORSRV._replace(password="wrong"), TENANT], ids=["wrong-password", "may-not-validate"]
)
def test_a_refused_account_of_ours_is_503(
    keystone: Keystone, tmp_path: Path, nova_token: str, account: Account
) -> None:
    """When Keystone refuses our own account, or does not let it validate, the answer is 503 and not 401."""
    with Server(tmp_path / "server", keystone, account=account) as server:
        assert NOT_NOW == error_of(server.post("/mailserver", nova_token))


def test_keystone_stops_and_starts(fragile_keystone: Keystone, served_by_fragile: Server) -> None:
    """Without Keystone new tokens get 503 in time, known ones are still good, and all is well when it is back.

    In time: what overruns `auth_timeout` or `request_timeout`, both below Nova's limit, has another message.
    """
    wait_until(served_by_fragile.ready)
    known, new = fragile_keystone.token(NOVA), fragile_keystone.token(NOVA)
    assert 200 == served_by_fragile.post("/mailserver", known).status_code
    fragile_keystone.stop()
    response = served_by_fragile.post("/mailserver", new)
    assert NOT_NOW == error_of(response)
    assert "1" == response.headers["Retry-After"]
    assert 200 == served_by_fragile.post("/mailserver", known).status_code
    wait_until(lambda: not served_by_fragile.ready())
    fragile_keystone.start()
    wait_until(served_by_fragile.ready)
    assert 200 == served_by_fragile.post("/mailserver", new).status_code


def test_a_server_that_starts_before_keystone(fragile_keystone: Keystone, tmp_path: Path) -> None:
    """A server that finds no Keystone at its start is alive and not ready, and ready once there is one."""
    token = fragile_keystone.token(NOVA)
    fragile_keystone.stop()
    with Server(tmp_path / "server", fragile_keystone) as server:
        response = server.client.get("/-/ready")
        assert (503, "keystone_unavailable") == error_of(response)[:2]
        assert "1" == response.headers["Retry-After"]
        fragile_keystone.start()
        wait_until(server.ready)
        assert 200 == server.post("/mailserver", token).status_code


def test_keystone_hangs(fragile_keystone: Keystone, served_by_fragile: Server) -> None:
    """While Keystone accepts and never answers, a request gets 503 before Nova would give up, and so does ready.

    Before that: it is `auth_timeout` that ends it, and not `request_timeout`, which has another code.
    """
    new = fragile_keystone.token(NOVA)
    wait_until(served_by_fragile.ready)
    fragile_keystone.pause()
    response = served_by_fragile.post("/mailserver", new)
    assert (503, "keystone_unavailable") == error_of(response)[:2]
    assert 503 == served_by_fragile.client.get("/-/ready").status_code
    fragile_keystone.resume()
    wait_until(served_by_fragile.ready)
    assert 200 == served_by_fragile.post("/mailserver", new).status_code

"""A call with tokens of the real Keystone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.keystone import NOVA, Account, Keystone
from vendorsrv.cli.call import call
from vendorsrv.errors import ConfigError
from vendorsrv.nova.client import Result, Target, ask
from vendorsrv.nova.credentials import from_environment, from_nova_conf
from vendorsrv.nova.payload import build_payload
from vendorsrv.testing.misbehaviour import Behaviour, body, raw
from vendorsrv.testing.upstream import FakeUpstream

WriteConf = Callable[..., Path]

SHORT_LIVED = Account("short-lived", "short-lived-password", "service")


@pytest.fixture
def peer() -> Iterator[FakeUpstream]:
    """A server whose routes the test sets."""
    with FakeUpstream() as running:
        running.routes["/mailserver"] = body('{"role": "mail-server"}')
        yield running


@pytest.fixture
def nova_conf(tmp_path: Path) -> WriteConf:
    """Writes a nova.conf with this account, and how many seconds Keystone may take."""

    def write(keystone: Keystone, account: Account, timeout: float = 60) -> Path:
        (tmp_path / "nova.conf").write_text(
            f"[vendordata_dynamic_auth]\nauth_type = password\ntimeout = {timeout}\nuser_domain_id = default\n"
            f"project_domain_id = default\nauth_url = {keystone.url}\nusername = {account.user}\n"
            f"password = {account.password}\nproject_name = {account.project}\n"
        )
        return tmp_path / "nova.conf"

    return write


@pytest.fixture
def environment(keystone: Keystone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Nova's account in the OS_* variables, and no other credentials."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    values = {
        "AUTH_URL": keystone.url,
        "USERNAME": NOVA.user,
        "PASSWORD": NOVA.password,
        "PROJECT_NAME": NOVA.project,
        "USER_DOMAIN_ID": "default",
        "PROJECT_DOMAIN_ID": "default",
        "CLIENT_CONFIG_FILE": str(tmp_path / "clouds.yaml"),
    }
    for name, value in values.items():
        monkeypatch.setenv(f"OS_{name}", value)
    return monkeypatch


def asked(conf: Path, url: str) -> Result:
    """Ask with the account of this nova.conf."""
    return ask(from_nova_conf(conf), Target("mail", url), build_payload())


def refusing_once() -> Behaviour:
    """Answers 401, and after that 200."""
    answers = iter((raw(401), raw(200, '"welcome"')))
    return lambda send, _: send(next(answers))


def test_call_sends_a_token_of_keystone(keystone: Keystone, peer: FakeUpstream, nova_conf: WriteConf) -> None:
    """`call` sends a token that Keystone accepts, in X-Auth-Token."""
    assert {"role": "mail-server"} == asked(nova_conf(keystone, NOVA), f"{peer.url}/mailserver").value
    assert keystone.accepts(peer.received[0].headers["X-Auth-Token"])


@pytest.mark.usefixtures("environment")
def test_the_environment_names_an_account(keystone: Keystone, peer: FakeUpstream) -> None:
    """The OS_* variables give `call` such a token."""
    ask(from_environment(), Target("mail", f"{peer.url}/mailserver"), build_payload())
    assert keystone.accepts(peer.received[0].headers["X-Auth-Token"])


@pytest.mark.usefixtures("environment")
def test_clouds_yaml_names_an_account(
    keystone: Keystone, peer: FakeUpstream, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A cloud of clouds.yaml gives `call` such a token."""
    for name in ("AUTH_URL", "USERNAME", "PASSWORD"):
        environment.delenv(f"OS_{name}")
    (tmp_path / "clouds.yaml").write_text(
        f"clouds: {{lab: {{auth: {{auth_url: '{keystone.url}', username: nova, password: nova-password, "
        "project_name: service, user_domain_id: default, project_domain_id: default}}}\n"
    )
    ask(from_environment("lab"), Target("mail", f"{peer.url}/mailserver"), build_payload())
    assert keystone.accepts(peer.received[0].headers["X-Auth-Token"])


def test_a_refused_token_is_replaced_once(keystone: Keystone, peer: FakeUpstream, nova_conf: WriteConf) -> None:
    """After a 401, `call` gets a new token and sends one more request, whose answer counts."""
    peer.routes["/"] = refusing_once()
    result = asked(nova_conf(keystone, NOVA), f"{peer.url}/")
    first, second = (request.headers["X-Auth-Token"] for request in peer.received)
    assert first != second
    assert ("welcome", 200) == (result.value, result.status)
    assert ("after a 401 Nova gets a new token from Keystone and posts again",) == result.warnings


def test_keystone_refuses_the_second_token(keystone: Keystone, peer: FakeUpstream, nova_conf: WriteConf) -> None:
    """When Keystone refuses a new token after a 401, the reason names Keystone and not the server."""
    user = keystone.create_user(*SHORT_LIVED, ["service"])

    def refuse(send: Callable[[bytes], object], wait: Callable[[float], object]) -> None:
        keystone.request("DELETE", f"/users/{user}")
        body("", 401)(send, wait)

    peer.routes["/"] = refuse
    result = asked(nova_conf(keystone, SHORT_LIVED), f"{peer.url}/")
    assert ("Unauthorized", "the server answered 401, and Keystone refused a new token") == (
        result.raises,
        result.dropped,
    )


def test_a_redirect_to_another_server_is_reported(keystone: Keystone, peer: FakeUpstream, nova_conf: WriteConf) -> None:
    """`call` reports that a redirect sent the token to another server, and does not print the token."""
    with FakeUpstream() as first:
        first.routes["/"] = body("", 302, Location=f"{peer.url}/mailserver")
        result = asked(nova_conf(keystone, NOVA), f"{first.url}/")
    assert "X-Auth-Token" in peer.received[0].headers
    assert (
        "Nova follows a 302 as a POST with the instance's data and the token, here to another server",
    ) == result.warnings


def test_a_wrong_password(keystone: Keystone, peer: FakeUpstream, nova_conf: WriteConf) -> None:
    """When Keystone refuses the account, `call` names Keystone and sends the server nothing."""
    conf = nova_conf(keystone, NOVA._replace(password="hunter2"))
    with pytest.raises(ConfigError) as caught:
        asked(conf, f"{peer.url}/mailserver")
    assert f"Keystone at {keystone.url} refused the credentials (HTTP 401)" == str(caught.value)
    assert [] == peer.received


def test_a_hanging_keystone(fragile_keystone: Keystone, peer: FakeUpstream, nova_conf: WriteConf) -> None:
    """`call` gives up on a Keystone that accepts connections and never answers."""
    fragile_keystone.pause()
    with pytest.raises(ConfigError, match=f"^Keystone at {fragile_keystone.url} did not answer in time$"):
        asked(nova_conf(fragile_keystone, NOVA, timeout=0.5), f"{peer.url}/mailserver")


def test_a_stopped_keystone(fragile_keystone: Keystone, peer: FakeUpstream, nova_conf: WriteConf) -> None:
    """`call` names the Keystone that it cannot reach."""
    fragile_keystone.stop()
    with pytest.raises(ConfigError, match=r"^Keystone at http://127.0.0.1:\d+/v3 cannot be reached$"):
        asked(nova_conf(fragile_keystone, NOVA), f"{peer.url}/mailserver")


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.usefixtures("environment")
def test_the_command_shows_no_token(peer: FakeUpstream, options: list[str]) -> None:
    """`call` prints neither the token nor the password."""
    result = CliRunner().invoke(call, [f"mail@{peer.url}/mailserver", *options])
    assert "mail-server" in result.stdout
    assert peer.received[0].headers["X-Auth-Token"] not in result.output
    assert NOVA.password not in result.output

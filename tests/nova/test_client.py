"""A call asks as Nova does; what it says of each answer is compared with Nova in tests/peers/test_table.py."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.misbehaviour import PATIENCE, asked
from tests.support.serving import free_port
from vendorsrv.errors import ConfigError
from vendorsrv.nova.client import Limits, Target, ask
from vendorsrv.nova.credentials import anonymous
from vendorsrv.nova.payload import build_payload
from vendorsrv.testing.misbehaviour import body
from vendorsrv.testing.upstream import FakeUpstream


@pytest.fixture(scope="module")
def peer() -> Iterator[FakeUpstream]:
    """A server with every behaviour of the table."""
    with FakeUpstream() as running:
        yield running


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("html", "its body is not JSON"),
        ("deep", "its JSON is nested too deep for Nova's parser"),
        ("404", "the server answered 404"),
        ("silent", "there was no answer within the timeout"),
        ("hangs up", "the connection was refused or broke off"),
        ("bad gzip", "the answer cannot be read"),
        ("errors that are strings", "its error body has a form that keystoneauth1 does not expect"),
        ("long number", "Nova cannot use it"),
    ],
)
def test_the_reason_is_plain(peer: FakeUpstream, name: str, dropped: str) -> None:
    """Why Nova drops an answer is said in one plain phrase."""
    assert dropped == asked(peer.url_of(name), limits=PATIENCE if name == "silent" else Limits()).dropped


def test_the_request_is_nova_s(peer: FakeUpstream) -> None:
    """The headers are those that Nova 34 sends, and no others."""
    peer.received.clear()
    asked(f"{peer.url}/object")
    headers = peer.received[0].headers
    assert 0 < int(headers.pop("Content-Length"))
    assert peer.url == f"http://{headers.pop('Host')}"
    assert headers == {
        "User-Agent": "openstack-nova-vendordata",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/json",
        "Connection": "keep-alive",
    }


def test_the_body_is_nova_s(peer: FakeUpstream) -> None:
    """The body is ASCII JSON with Nova's seven members, user-data as base64."""
    peer.received.clear()
    payload = build_payload(
        instance_id="1f7dd3a6-4c27-4bb6-b1fd-d2e8b0f3e1a7",
        project_id="p",
        image_id="i",
        hostname="m\u00fc",
        user_data=b"#!/bin/sh\n",
        metadata={"k": "v"},
        boot_roles="member,mail-admin",
    )
    ask(anonymous(), Target("target", f"{peer.url}/object"), payload)
    assert peer.received[0].body == (
        b'{"project-id": "p", "instance-id": "1f7dd3a6-4c27-4bb6-b1fd-d2e8b0f3e1a7", "image-id": "i", '
        b'"user-data": "IyEvYmluL3NoCg==", "hostname": "m\\u00fc", "metadata": {"k": "v"}, '
        b'"boot-roles": "member,mail-admin"}'
    )


def test_nobody_listens() -> None:
    """A refused connection is what Nova makes of a server that is down."""
    result = asked(f"http://127.0.0.1:{free_port()}/")
    assert ({}, "ConnectFailure", None) == (result.value, result.raises, result.status)


def test_the_status_and_the_headers_that_matter(peer: FakeUpstream) -> None:
    """The last status is there, and of the headers those that an operator looks for."""
    result = asked(f"{peer.url}/503")
    assert (503, {"Content-Type": "application/json"}) == (result.status, result.headers)


def test_the_error_is_what_nova_logs(peer: FakeUpstream) -> None:
    """The server's own message is read as Nova reads it."""
    assert "no such rack (HTTP 403)" == asked(f"{peer.url}/403").error


@pytest.fixture(scope="module")
def tls() -> Iterator[tuple[FakeUpstream, trustme.CA]]:
    """A server over TLS, and the CA of its certificate."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FakeUpstream(context) as running:
        yield running, authority


def test_an_unknown_certificate_is_refused(tls: tuple[FakeUpstream, trustme.CA]) -> None:
    """Nova checks certificates, and has no option to leave it."""
    result = asked(f"{tls[0].url}/object")
    assert ({}, "SSLError", "the TLS connection failed") == (result.value, result.raises, result.dropped)


def test_the_ca_is_used(tls: tuple[FakeUpstream, trustme.CA], tmp_path: Path) -> None:
    """With the CA of vendordata_dynamic_ssl_certfile, the certificate is good."""
    peer, authority = tls
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    limits = Limits(ssl_certfile=str(tmp_path / "ca.pem"))
    assert {"role": "mail-server"} == asked(f"{peer.url}/object", limits=limits).value


def test_a_missing_ca_always_raises(tls: tuple[FakeUpstream, trustme.CA]) -> None:
    """Nova does not catch what requests raises for a CA file that is not there."""
    result = asked(f"{tls[0].url}/object", limits=Limits(ssl_certfile="/nowhere/ca.pem"))
    assert ("OSError", True) == (result.raises, result.always_raises)


def test_a_redirect_to_https_is_not_verified(tls: tuple[FakeUpstream, trustme.CA], peer: FakeUpstream) -> None:
    """From http, Nova follows to https without looking at the certificate."""
    peer.routes["/secure"] = body("", 308, Location=f"{tls[0].url}/object")
    result = asked(f"{peer.url}/secure")
    assert {"role": "mail-server"} == result.value
    assert result.warnings[0].endswith("here to another server; from http to https without checking the certificate")


def test_a_read_timeout_of_zero_fails_every_call(peer: FakeUpstream) -> None:
    """Nova accepts the value 0, and requests does not."""
    result = asked(f"{peer.url}/object", limits=Limits(read_timeout=0))
    assert ("ValueError", "Nova cannot use it") == (result.raises, result.dropped)


@pytest.mark.parametrize(
    ("text", "name", "target"),
    [
        ("mail@http://h:9/x", None, Target("mail", "http://h:9/x")),
        ("mail@http://u:p@h/x", None, Target("mail", "http://u:p@h/x")),
        ("http://u:p@h/x", None, Target("x", "http://u:p@h/x")),
        ("https://h/a/mailserver/", None, Target("mailserver", "https://h/a/mailserver/")),
        ("https://h:9", None, Target("h", "https://h:9")),
        ("mail@http://h/x", "other", Target("other", "http://h/x")),
        ("@http://h/x", None, Target("x", "http://h/x")),
    ],
)
def test_targets_are_split_as_nova_splits_them(text: str, name: str | None, target: Target) -> None:
    """A target is name@url, split at the first @; or a URL alone, which names itself."""
    assert target == Target.parse(text, name)


@pytest.mark.parametrize("text", ["", "mail", "mail@", "ftp://h/", "h:9/x", "http://", "http://[", "mail@h/x"])
def test_what_is_no_target(text: str) -> None:
    """Without an http or https URL there is nothing to ask."""
    with pytest.raises(ConfigError, match=r"is neither an http:// or https:// URL nor NAME@URL"):
        Target.parse(text)


def test_a_password_in_the_url_is_not_shown() -> None:
    """The URL of a result has no user information, and neither has its error."""
    host = f"127.0.0.1:{free_port()}"
    result = asked(f"http://nova:hunter2@{host}/x")
    assert f"http://{host}/x" == result.url
    assert "hunter2" not in str(result.error)


def test_limits_from_nova_conf(tmp_path: Path) -> None:
    """The timeouts and the CA file are those of Nova's own file."""
    (tmp_path / "nova.conf").write_text(
        "[api]\nvendordata_dynamic_connect_timeout = 3\nvendordata_dynamic_read_timeout = 0\n"
        "vendordata_dynamic_ssl_certfile = /ca.pem\n"
    )
    assert Limits(3, 0, "/ca.pem") == Limits.from_nova_conf(tmp_path / "nova.conf")


def test_nova_s_defaults(tmp_path: Path) -> None:
    """Nova waits five seconds for the connection, and five for each read."""
    (tmp_path / "nova.conf").write_text("")
    assert Limits(5, 5, "") == Limits.from_nova_conf(tmp_path / "nova.conf")


def test_a_bad_limit_is_named(tmp_path: Path) -> None:
    """A timeout that Nova itself refuses is named."""
    (tmp_path / "nova.conf").write_text("[api]\nvendordata_dynamic_connect_timeout = 2\n")
    with pytest.raises(ConfigError, match=r"\[api\] vendordata_dynamic_connect_timeout: Should be greater"):
        Limits.from_nova_conf(tmp_path / "nova.conf")


def test_a_result_does_not_show_its_value(peer: FakeUpstream) -> None:
    """The representation of a result, which may end up in a log, has nothing of the answer."""
    assert "mail-server" not in repr(asked(f"{peer.url}/object"))

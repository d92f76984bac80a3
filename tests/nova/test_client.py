"""A call does what Nova does; tests/peers/test_table.py compares its results with Nova's."""

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
def test_a_dropped_answer_has_its_reason(peer: FakeUpstream, name: str, dropped: str) -> None:
    """The reason why Nova drops an answer is one plain phrase."""
    assert dropped == asked(peer.url_of(name), limits=PATIENCE if name == "silent" else Limits()).dropped


def test_the_headers_are_novas(peer: FakeUpstream) -> None:
    """A call sends the headers that Nova 34 sends, and no others."""
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


def test_the_body_is_novas(peer: FakeUpstream) -> None:
    """The body is ASCII JSON with Nova's seven members, and user-data in base64."""
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


def test_a_refused_connection_is_connect_failure() -> None:
    """A refused connection is {} to Nova, or ConnectFailure when failures are fatal."""
    result = asked(f"http://127.0.0.1:{free_port()}/")
    assert ({}, "ConnectFailure", None) == (result.value, result.raises, result.status)


def test_a_result_has_the_last_status_and_its_headers(peer: FakeUpstream) -> None:
    """A result has the last status, and those of its headers that help an operator."""
    result = asked(f"{peer.url}/503")
    assert (503, {"Content-Type": "application/json"}) == (result.status, result.headers)


def test_the_error_is_what_nova_logs(peer: FakeUpstream) -> None:
    """A result's error is the server's message as keystoneauth1 reads it."""
    assert "no such rack (HTTP 403)" == asked(f"{peer.url}/403").error


@pytest.fixture(scope="module")
def tls() -> Iterator[tuple[FakeUpstream, trustme.CA]]:
    """A server over TLS, and the CA of its certificate."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FakeUpstream(context) as running:
        yield running, authority


def test_an_untrusted_certificate_is_refused(tls: tuple[FakeUpstream, trustme.CA]) -> None:
    """A certificate of an unknown CA is refused, as Nova does."""
    result = asked(f"{tls[0].url}/object")
    assert ({}, "SSLError", "the TLS connection failed") == (result.value, result.raises, result.dropped)


def test_a_certificate_of_the_given_ca_is_accepted(tls: tuple[FakeUpstream, trustme.CA], tmp_path: Path) -> None:
    """A certificate of the CA in ssl_certfile is accepted."""
    peer, authority = tls
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    limits = Limits(ssl_certfile=str(tmp_path / "ca.pem"))
    assert {"role": "mail-server"} == asked(f"{peer.url}/object", limits=limits).value


def test_an_absent_ca_file_always_raises(tls: tuple[FakeUpstream, trustme.CA]) -> None:
    """Nova does not catch the OSError that requests raises for an absent CA file."""
    result = asked(f"{tls[0].url}/object", limits=Limits(ssl_certfile="/nowhere/ca.pem"))
    assert ("OSError", True) == (result.raises, result.always_raises)


def test_a_redirect_to_https_is_not_verified(tls: tuple[FakeUpstream, trustme.CA], peer: FakeUpstream) -> None:
    """Nova follows a redirect from http to https without verifying the certificate, and a warning says so."""
    peer.routes["/secure"] = body("", 308, Location=f"{tls[0].url}/object")
    result = asked(f"{peer.url}/secure")
    assert {"role": "mail-server"} == result.value
    assert result.warnings[0].endswith("here to another server; from http to https without checking the certificate")


def test_a_read_timeout_of_zero_fails_every_call(peer: FakeUpstream) -> None:
    """With a read timeout of 0, which Nova's option allows, requests raises ValueError."""
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
    """A target is NAME@URL, split at the first @, or a URL whose last part is the name."""
    assert target == Target.parse(text, name)


@pytest.mark.parametrize("text", ["", "mail", "mail@", "ftp://h/", "h:9/x", "http://", "http://[", "mail@h/x"])
def test_an_invalid_target_is_a_config_error(text: str) -> None:
    """A target without an http or https URL raises ConfigError."""
    with pytest.raises(ConfigError, match=r"is neither an http:// or https:// URL nor NAME@URL"):
        Target.parse(text)


def test_a_password_in_the_url_is_not_shown() -> None:
    """A result's URL and error do not contain the user and password of the URL."""
    host = f"127.0.0.1:{free_port()}"
    result = asked(f"http://nova:hunter2@{host}/x")
    assert f"http://{host}/x" == result.url
    assert "hunter2" not in str(result.error)


def test_limits_are_read_from_nova_conf(tmp_path: Path) -> None:
    """The timeouts and the CA file are read from nova.conf."""
    (tmp_path / "nova.conf").write_text(
        "[api]\nvendordata_dynamic_connect_timeout = 3\nvendordata_dynamic_read_timeout = 0\n"
        "vendordata_dynamic_ssl_certfile = /ca.pem\n"
    )
    assert Limits(3, 0, "/ca.pem") == Limits.from_nova_conf(tmp_path / "nova.conf")


def test_limits_have_novas_defaults(tmp_path: Path) -> None:
    """Without options, Nova waits five seconds for the connection and five for each read."""
    (tmp_path / "nova.conf").write_text("")
    assert Limits(5, 5, "") == Limits.from_nova_conf(tmp_path / "nova.conf")


def test_an_invalid_limit_is_a_config_error(tmp_path: Path) -> None:
    """A timeout that Nova does not accept raises ConfigError with the option's name."""
    (tmp_path / "nova.conf").write_text("[api]\nvendordata_dynamic_connect_timeout = 2\n")
    with pytest.raises(ConfigError, match=r"\[api\] vendordata_dynamic_connect_timeout: Should be greater"):
        Limits.from_nova_conf(tmp_path / "nova.conf")


def test_a_result_does_not_show_its_value(peer: FakeUpstream) -> None:
    """The representation of a result, which may be logged, does not contain the answer."""
    assert "mail-server" not in repr(asked(f"{peer.url}/object"))

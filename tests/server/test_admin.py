"""The address of the server's own pages: what it serves, what it does not, and who can have it."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import trustme

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import House
from tests.support.serving import BODY, JSON, error_of, running, write_config
from vendorsrv import ConfigError, Settings
from vendorsrv.server.serve import listen, uvicorn_config

PAGES = ("/-/metrics", "/-/docs", "/-/docs/assets/swagger-ui.css", "/-/openapi.json")
NOT_SERVED = (404, "not_found", "nothing is served under this path")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", PAGES)
def test_the_pages_are_at_their_own_address_only(house: House, method: str, path: str) -> None:
    """Metrics and documentation are 200 at the admin address, and 404 at the one that Nova calls."""
    statuses = [client.request(method, path).status_code for client in (house.server.admin, house.server.client)]
    assert [200, 404] == statuses


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_an_error_of_ours_at_novas_address(house: House, path: str) -> None:
    """At the address that Nova calls, a page is 404 in the shape of all errors."""
    assert NOT_SERVED == error_of(house.server.client.get(path))


@pytest.mark.parametrize("path", ["/-/live", "/-/ready", "/healthcheck"])
def test_health_is_at_both_addresses(house: House, path: str) -> None:
    """The health routes are the same at both addresses."""
    server = house.server
    assert 200 == server.admin.head(path).status_code
    assert server.client.get(path).json() == server.admin.get(path).json()


@pytest.mark.parametrize("path", ["/", "/echo", "/cloud-init", "/plain/key.json", "/nosuch"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nova_is_not_served_at_the_admin_address(house: House, method: str, path: str) -> None:
    """Requests for vendordata, also with a valid token, and public routes are 404 at the admin address."""
    headers = {**JSON, "X-Auth-Token": house.nova}
    assert NOT_SERVED == error_of(house.server.admin.request(method, path, content=BODY, headers=headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:{port}"},
        {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "127.0.0.1:{port}", "X-Forwarded-Port": "{port}"},
        {"Forwarded": 'for=127.0.0.1;host="127.0.0.1:{port}"'},
    ],
)
def test_no_header_changes_the_address(house: House, headers: dict[str, str]) -> None:
    """No header makes the address that Nova calls serve the pages, or the other one serve Nova."""
    server = house.server
    to_nova = {name: value.format(port=server.admin_port) for name, value in headers.items()}
    to_admin = {name: value.format(port=server.port) for name, value in headers.items()}
    assert NOT_SERVED == error_of(server.client.get("/-/metrics", headers=to_nova))
    asked = server.admin.post("/echo", content=BODY, headers={**JSON, **to_admin, "X-Auth-Token": house.nova})
    assert NOT_SERVED == error_of(asked)


def test_a_proxy_header_changes_no_address(tmp_path: Path, fake: FakeKeystone) -> None:
    """A trusted proxy's PROXY header with the other port is believed at Nova's address, and serves no page there."""
    with running(write_config(tmp_path, fake, trusted_proxies="127.0.0.1")) as server:
        statuses = []
        for port, other in ((server.port, server.admin_port), (server.admin_port, server.port)):
            with socket.create_connection(("127.0.0.1", port), 60) as connection:
                connection.sendall(b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 %d\r\n" % other)
                connection.sendall(b"GET /-/metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                statuses.append(connection.makefile("rb").readline())
    assert [b"HTTP/1.1 404 Not Found\r\n", b"HTTP/1.1 400 Bad Request\r\n"] == statuses


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/-/docs", "/-/metrics", "/-/openapi.json", "/-/ready", "/healthcheck"])
def test_other_methods_are_405(house: House, method: str, path: str) -> None:
    """Other methods than GET and HEAD are answered 405 in the shape of all errors."""
    found = error_of(house.server.admin.request(method, path))
    assert (405, "method_not_allowed", "this path is not served for this method") == found


PATHS = ("", "/-/docs/", "/-/docs/assets", "/-/docs/assets/", "/-/docs/assets/../..", "/-/metrics/")


@pytest.mark.parametrize("path", [*PATHS, "//", "/-/docs/assets/%2e%2e/%2e%2e/app.py"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_no_path_is_redirected(house: House, method: str, path: str) -> None:
    """No path is answered with a redirect, or with a file that is none of the pages'."""
    assert house.server.admin.request(method, path).status_code in {404, 405}


def test_the_docs_page_loads_from_this_server_only(house: House) -> None:
    """Everything that the page of the API's documentation loads is on this server."""
    page = house.server.admin.get("/-/docs").text
    assert [] == re.findall(r"""["'](?:https?:)?//[^"']*""", page)
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert ["docs/assets/swagger-ui.css", "docs/assets/favicon.png", "docs/assets/swagger-ui-bundle.js"] == links
    assert {200} == {house.server.admin.get(f"/-/{link}").status_code for link in links}
    assert "url: 'openapi.json'" in page


def test_openapi_has_each_handler(house: House) -> None:
    """The OpenAPI document has each handler with its docstring, body and errors."""
    document = house.server.admin.get("/-/openapi.json").json()
    operation = document["paths"]["/echo"]["post"]
    assert "Return the request as a handler sees it." == operation["description"]
    assert {"$ref": "#/components/schemas/NovaBody"} == operation["requestBody"]["content"]["application/json"][
        "schema"
    ]
    assert [
        "200",
        "400",
        "401",
        "403",
        "404",
        "405",
        "408",
        "410",
        "413",
        "414",
        "415",
        "429",
        "431",
        "500",
        "502",
        "503",
        "504",
    ] == list(operation["responses"])
    assert ["instance-id"] == document["components"]["schemas"]["NovaBody"]["required"]


def test_openapi_has_every_path(house: House) -> None:
    """The OpenAPI document has every path, and is the same each time."""
    paths = house.server.admin.get("/-/openapi.json").json()["paths"]
    handlers = ["/echo", "/plain", "/raising", "/away", "/odd", "/nothing", "/slow"]
    public = ["/plain/key.json", "/plain/async-key.json", "/plain/broken.json"]
    assert sorted(["/", "/cloud-init", "/healthcheck", "/-/live", "/-/ready", *handlers, *public]) == sorted(paths)
    assert paths == house.server.admin.get("/-/openapi.json").json()["paths"]


def test_the_page_offers_no_requests(house: House) -> None:
    """The documentation does not offer to send requests, which belong to the other address."""
    assert '"supportedSubmitMethods": []' in house.server.admin.get("/-/docs").text


def test_pages_are_not_counted(tmp_path: Path, fake: FakeKeystone) -> None:
    """Requests to the admin address are in no metric, also those for paths that it does not serve."""
    with running(write_config(tmp_path, fake)) as server:
        for path in ("/-/docs", "/echo", "/nosuch/path"):
            server.admin.post(path)
        text = server.admin.get("/-/metrics").text
    assert [] == re.findall(r"^vendorsrv_requests_total.* [1-9].*$", text, re.MULTILINE)


def test_connections_to_the_pages_leave_novas_alone(tmp_path: Path, fake: FakeKeystone) -> None:
    """Two hundred connections to the admin address take no room of Nova's, and make room for one another."""
    with running(write_config(tmp_path, fake, max_connections=8)) as server, ExitStack() as stack:
        kept = [stack.enter_context(server.connect()) for _ in range(2)]
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.admin_port), 60))
        text = server.admin.get("/-/metrics").text
        assert 200 == server.ask("/echo", fake.issue("service")).status_code
        for each in kept:
            each.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.recv(1)
    refused = dict(re.findall(r'^vendorsrv_connections_refused_total\{limit="(\w+)"\} (\S+)$', text, re.MULTILINE))
    assert ("0.0", "0.0", True) == (refused["peer"], refused["worker"], float(refused["admin"]) >= 100)


def test_a_connection_that_is_closed_for_another_is_logged(
    tmp_path: Path, fake: FakeKeystone, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the peer and the limit when a connection to the admin address is closed for want of room."""
    with running(write_config(tmp_path, fake)) as server, ExitStack() as stack:
        for _ in range(65):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.admin_port), 60))
        assert 200 == server.admin.get("/-/live").status_code
    assert "closed a connection of 127.0.0.1, since the limit of admin_port is 64; 0 more since the" in caplog.text


def test_the_pages_can_be_turned_off(tmp_path: Path) -> None:
    """With an empty admin_port the server listens on one address only."""
    settings = Settings.from_file(write_config(tmp_path, admin_port=""))
    (only,) = listen(settings, uvicorn_config(settings, "", 1))
    with only:
        assert "127.0.0.1" == only.getsockname()[0]


def test_the_admin_address_can_be_ipv6(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """admin_host can be an IPv6 address; the log has the URL."""
    caplog.set_level("INFO")
    settings = Settings.from_file(write_config(tmp_path, admin_host="::1"))
    sockets = listen(settings, uvicorn_config(settings, "", 1))
    host, port, *_ = sockets[1].getsockname()
    for each in sockets:
        each.close()
    assert "::1" == host
    assert f"Metrics and API documentation on http://[::1]:{port}\n" in caplog.text


@pytest.mark.parametrize(
    ("host", "reason"), [("127.0.0.1", "Address already in use"), ("192.0.2.1", "Cannot assign requested address")]
)
def test_an_admin_address_that_cannot_be_had_ends_the_start(tmp_path: Path, host: str, reason: str) -> None:
    """An admin address that is taken, or none of this machine, is a ConfigError that names the option."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings.from_file(write_config(tmp_path, admin_host=host, admin_port=port))
        with pytest.raises(ConfigError) as caught:
            listen(settings, uvicorn_config(settings, "", 1))
    assert f"cannot listen on admin_host {host} port {port}: {reason}" == str(caught.value)


def test_the_pages_are_served_without_tls(tmp_path: Path, fake: FakeKeystone) -> None:
    """The admin address is plain HTTP also when the one that Nova calls has TLS."""
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pem"))
    with running(write_config(tmp_path, fake, cert_file=tmp_path / "pem", key_file=tmp_path / "pem")) as server:
        assert 200 == server.admin.get("/-/metrics").status_code
        with pytest.raises(httpx.TransportError):
            server.client.get("/-/live")

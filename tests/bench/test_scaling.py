"""Two hosts behind HAProxy: the recommended configuration, and the outage of one host."""

from __future__ import annotations

import subprocess
from pathlib import Path

import trustme

from bench.contenders import keystone_and_token
from bench.scaling import HANDLERS
from bench.scaling_hosts import cloud, missing_requirement, recommended
from bench.scaling_outage import CLIENTS, disconnect_and_reconnect
from bench.stops import stop_and_reload
from tests.support.databases import database
from tests.support.peers.server import Options
from tests.support.pin_stores import make_table
from tests.support.real_peers import missing, require_program, skip_if_unit


def test_haproxy_accepts_the_recommended_configuration(tmp_path: Path) -> None:
    """HAProxy accepts the configuration of docs/scaling.md, with certificates in the places that it names."""
    require_program("haproxy")
    authority = trustme.CA()
    authority.issue_cert("vendordata.example.org").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    text = recommended().replace("/etc/haproxy/vendordata.pem", f"{tmp_path}/own")
    path = tmp_path / "haproxy.cfg"
    path.write_text(text.replace("/etc/haproxy/ca.pem", f"{tmp_path}/ca").replace("10.0.0.10:9090", "127.0.0.1:9090"))
    done = subprocess.run(["haproxy", "-c", "-q", "-f", str(path)], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_an_instance_keeps_one_answer_when_a_host_is_disconnected(tmp_path: Path) -> None:
    """When a host is disconnected for a time, few requests fail, and each instance keeps one answer."""
    skip_if_unit()
    if reason := missing_requirement():
        missing(f"no hosts: {reason}")
    runs = tmp_path / "runs"
    runs.mkdir()
    with keystone_and_token() as (keystone, token), database("postgresql") as pins:
        make_table(pins.url)
        options: Options = {"vendorsrv": {"handlers": HANDLERS}, "handler:pinned": {"runs": runs}}
        with cloud(tmp_path, keystone.url, pins.url, options) as hosts:
            found = disconnect_and_reconnect(hosts, token, runs, 1)
    assert 1 == found.most_answers
    assert found.instances <= found.runs <= found.instances + CLIENTS
    assert found.instances > 0
    assert 4 * CLIENTS >= sum(found.failed.values())


def test_no_stop_and_no_reload_loses_a_request() -> None:
    """Behind HAProxy as docs/scaling.md has it, with TLS, hosts are stopped and reloaded under load without a loss."""
    require_program("haproxy")
    found = stop_and_reload(1, timeout=60)
    assert {"stop": [], "reload": []} == {event: result.lost for event, result in found.items()}

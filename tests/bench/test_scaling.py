"""Two hosts behind HAProxy: the configuration that is recommended, and answers that stay single when one is cut off."""

from __future__ import annotations

import subprocess
from pathlib import Path

import trustme

from bench.contenders import keystone_and_token
from bench.scaling import HANDLERS
from bench.scaling_cut import ASKING, cut_and_join
from bench.scaling_hosts import cloud, recommended, why_not
from tests.support.databases import database
from tests.support.peers.server import Options
from tests.support.pin_stores import make_table
from tests.support.real_peers import missing, require_program, skip_if_unit


def test_haproxy_accepts_what_the_page_recommends(tmp_path: Path) -> None:
    """With certificates where it names some."""
    require_program("haproxy")
    authority = trustme.CA()
    authority.issue_cert("vendordata.example.org").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    text = recommended().replace("/etc/haproxy/vendordata.pem", f"{tmp_path}/own")
    path = tmp_path / "haproxy.cfg"
    path.write_text(text.replace("/etc/haproxy/ca.pem", f"{tmp_path}/ca").replace("10.0.0.10:9090", "127.0.0.1:9090"))
    done = subprocess.run(["haproxy", "-c", "-q", "-f", str(path)], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_answers_stay_single_when_a_host_is_cut_off(tmp_path: Path) -> None:
    """What was on its way to it fails, everything else goes on, and it serves again when it is back."""
    skip_if_unit()
    if reason := why_not():
        missing(f"no hosts: {reason}")
    runs = tmp_path / "runs"
    runs.mkdir()
    with keystone_and_token() as (keystone, token), database("postgresql") as pins:
        make_table(pins.url)
        options: Options = {"vendorsrv": {"handlers": HANDLERS}, "handler:pinned": {"runs": runs}}
        with cloud(tmp_path, keystone.url, pins.url, options) as hosts:
            found = cut_and_join(hosts, token, runs, 1)
    assert 1 == found.most_answers
    assert found.instances <= found.runs <= found.instances + ASKING
    assert found.instances > 0
    assert 4 * ASKING >= sum(found.failed.values())

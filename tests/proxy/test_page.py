"""The proxy's page leads from a bare target to a proxied one, and leaves no line of a nova.conf out."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import trustme

from tests.support.checking import GOOD, changed, findings, write
from tests.support.pages import blocks, page, rows, section

MIGRATION = section(page("proxy"), "## Move a target behind vendorsrv")


def block(name: str) -> str:
    """Give the text of a file of the page."""
    [found] = [each.text for each in blocks(page("proxy"), "ini") if each.name == name]
    return found


def lines_of(name: str) -> list[str]:
    """Give what has to be decided of a nova.conf: Nova's options, and the account as a whole."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(block(name))
    return [*parser["api"], *(f"[{each}]" for each in parser.sections() if each != "api")]


def test_the_page_explains_every_line_of_nova_conf() -> None:
    """The table has a row for each line of both files, in their order."""
    explained = [re.sub("`", "", row[0]) for row in rows(MIGRATION)]
    assert explained == lines_of("before.conf") == lines_of("after.conf")


def test_the_page_s_configuration_has_no_findings(tmp_path: Path) -> None:
    """``vendorsrv check`` finds nothing in the files of the page."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("vendordata.example.org")
    own.cert_chain_pems[0].write_to_path(tmp_path / "own.pem")
    key = write(tmp_path / "own.key", own.private_key_pem.bytes().decode())
    proxies = changed(block("vendorsrv.conf"), {"/etc/ssl/certs/example.pem": f"{tmp_path}/ca.pem"})
    filled_in = {"/etc/ssl/certs/vendordata.pem": f"{tmp_path}/ca.pem", "CHANGE-ME": "secret"}
    nova = changed(block("after.conf"), filled_in)
    tls = f"handlers =\ncert_file = {tmp_path}/own.pem\nkey_file = {key}\n"
    ours = changed(GOOD.partition("[handler:mailserver]")[0], {"handlers = mailserver\n": tls})
    assert [] == findings(tmp_path, ours + proxies, nova)

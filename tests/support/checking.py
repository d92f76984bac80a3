"""What the tests of `check` share: a configuration that nothing is wrong with, and findings as text."""

from __future__ import annotations

from pathlib import Path

from vendorsrv.check.run import find_all

#: Of a Fernet.
KEY = "dmVuZG9yc3J2LXRlc3RzLXZlbmRvcnNydi10ZXN0cy0="

#: Nothing is wrong with it, as long as no other user can read the file.
GOOD = f"""\
[vendorsrv]
handlers = mailserver
port = 9090
[keystone_authtoken]
auth_type = password
auth_url = https://keystone.example.org:5000/v3
username = vendorsrv
password = planted
project_name = service
default_domain_id = default
[handler:mailserver]
domain = example.org
[pins]
encryption_keys = {KEY}
"""

#: Nothing is wrong with it either, beside the configuration above.
GOOD_NOVA = """\
[api]
vendordata_providers = StaticJSON,DynamicJSON
vendordata_dynamic_targets = mailserver@http://127.0.0.1:9090/mailserver
[vendordata_dynamic_auth]
auth_type = password
auth_url = https://keystone.example.org:5000/v3
username = nova
password = planted
project_name = service
timeout = 5
"""


def changed(text: str, changes: dict[str, str]) -> str:
    """Replace parts of a text, each of which must be there."""
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def write(path: Path, text: str) -> Path:
    """Write a file that no other user can read."""
    path.write_text(text)
    path.chmod(0o600)
    return path


def findings(folder: Path, text: str, nova: str | None = None) -> list[str]:
    """Check a configuration, and perhaps a nova.conf; paths are relative to the folder."""
    ours = write(folder / "vendorsrv.conf", text)
    theirs = None if nova is None else write(folder / "nova.conf", nova)
    return [str(finding).replace(f"{folder}/", "") for finding in find_all(ours, theirs)]


def found_in_nova_conf(folder: Path, ours: str, nova: str) -> str:
    """The findings, a line each, without the file's name."""
    found = [finding.removeprefix("nova.conf:") for finding in findings(folder, ours, nova)]
    return "\n".join(line.lstrip() for line in found)

"""The job with an inventory in a file, and a fake Nova that shows a hash of the compute host's name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from vendorsrv.testing import Server, serve

from examples.jobs.hardening import Hardening

INVENTORY = """\
compute-0: {rack: b6, sshd_config: PermitRootLogin prohibit-password}
compute-1:
  rack: b7
  sshd_config: |
    PermitRootLogin no
    MaxAuthTries 3
"""
PROJECT = "0b9d1c2f4c2e4a6b8d5e7f3a1c9b2d4e"
# sha224 of the project and the name, as Nova shows it to every reader (nova.utils.generate_hostid).
ON_COMPUTE_1 = {"project_id": PROJECT, "host_id": "93cd052209f5f0122910f4a0f1bae54e991c96f34209e8251022137a"}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """The file of the inventory."""
    path = tmp_path / "inventory.yaml"
    path.write_text(INVENTORY)
    return path


@pytest.fixture
def server(inventory: Path) -> Iterator[Server]:
    """A server for an instance on compute-1."""
    with serve(Hardening, options={"inventory": inventory}, facts={"server": ON_COMPUTE_1}) as server:
        yield server


def replace(path: Path, text: str) -> None:
    """Replace a file, as whoever writes it should."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def test_an_instance_learns_its_rack(server: Server) -> None:
    """The entry is that of the compute host, whose name the account does not see."""
    assert {"rack": "b7"} == server.ask(project_id=PROJECT).json


def test_ssh_is_hardened(server: Server) -> None:
    """The guest refuses passwords and root, and has the lines of the inventory."""
    answer = server.ask("/cloud-init", project_id=PROJECT).json
    assert "ssh_pwauth: false" in answer
    assert "disable_root: true" in answer
    assert "PermitRootLogin no\nMaxAuthTries 3\n" in answer
    assert "prohibit-password" not in answer


def test_a_changed_inventory_is_read_again(server: Server, inventory: Path) -> None:
    """A new inventory counts from the next request; a broken one does not."""
    assert "b7" == server.ask(project_id=PROJECT).json["rack"]
    replace(inventory, INVENTORY.replace("b7", "c1"))
    assert "c1" == server.ask(project_id=PROJECT).json["rack"]
    replace(inventory, "compute-1: {rack: c2}")
    assert "c1" == server.ask(project_id=PROJECT).json["rack"]


def test_an_unknown_host_is_an_error(server: Server, inventory: Path) -> None:
    """An instance on a host that the inventory does not have is not booted without its hardening."""
    replace(inventory, "compute-9: {rack: z9, sshd_config: ''}")
    answer = server.ask(project_id=PROJECT)
    assert (503, "the inventory does not have the compute host") == (answer.status, answer.message)

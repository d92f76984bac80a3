"""The policy's files while the server runs: whatever takes their place is in force, and none may go silently."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fixtures import Clock
from tests.support.serving import write_config
from vendorsrv import Caller, ConfigError, Settings
from vendorsrv.auth.policy import REMEMBER_FOR, Policy
from vendorsrv.errors import Forbidden, PolicyUnavailable

WIDE = "'vendordata:ask': 'role:service or role:member'\n"
NARROW = "'vendordata:ask': 'role:service'\n"
NOBODY = "'vendordata:ask': '!'\n"
#: The same size as WIDE.
SAME_SIZE = "'vendordata:ask': 'role:service or role:nobody'\n"
MEMBER = Caller("user", project_name="demo", roles=("member",))
NOVA = Caller("nova", project_name="service", roles=("service",))


class Operator:
    """Changes the files of a policy, and asks it after decisions have been forgotten."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self.clock = clock
        self.policy = Policy(Settings.from_file(write_config(folder)).conf, ["mail"], clock)

    def verdict(self, caller: Caller) -> str:
        """Return what the caller is told."""
        self.clock.now += REMEMBER_FOR + 1
        try:
            self.policy.admit(caller)
        except (Forbidden, PolicyUnavailable) as error:
            return error.message
        return "admitted"


DENIED = "the owner of the token may not ask for vendordata"
AWAY = "the server's policy file cannot be read"


def mv_older(path: Path, text: str) -> None:
    """Move an older file there, as a restored backup is."""
    other = path.with_name(".backup")
    other.write_text(text)
    os.utime(other, (1_000_000_000, 1_000_000_000))
    other.replace(path)


def cp_p(path: Path, text: str) -> None:
    """Write into the file, and give it back its times."""
    times = path.stat()
    path.write_text(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def mv_equal(path: Path, text: str) -> None:
    """Move another file of the same time there."""
    times = path.stat()
    mv_older(path, text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def link(path: Path, text: str) -> None:
    """Put a link to an older file there, as configuration management does."""
    other = path.with_name(".elsewhere")
    mv_older(other, text)
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize("name", ["policy.yaml", "policy.d/10-ask.yaml"])
@pytest.mark.parametrize("text", [NARROW, SAME_SIZE], ids=["shorter", "same size"])
@pytest.mark.parametrize("put", [mv_older, mv_equal, cp_p, link])
def test_whatever_takes_the_place_of_a_file_is_in_force(
    tmp_path: Path, clock: Clock, put: Callable[[Path, str], None], text: str, name: str
) -> None:
    """A narrower policy is in force although its file is as old as the wider one or older, and so is what follows."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(WIDE)
    operator = Operator(tmp_path, clock)
    before = operator.verdict(MEMBER)
    put(path, text)
    narrow = operator.verdict(MEMBER), operator.verdict(NOVA)
    mv_older(path, WIDE)
    assert ("admitted", (DENIED, "admitted"), "admitted") == (before, narrow, operator.verdict(MEMBER))


def empty(path: Path) -> None:
    """Truncate the file, as a full disk does."""
    path.write_text("")


def replace_by_a_folder(path: Path) -> None:
    """Put a folder there, as a container's mount of an absent file does."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["policy.yaml", "policy.d/10-ask.yaml"])
@pytest.mark.parametrize("take", [Path.unlink, empty, replace_by_a_folder])
def test_nobody_is_admitted_while_a_file_is_gone(
    tmp_path: Path, clock: Clock, take: Callable[[Path], None], name: str
) -> None:
    """While a file with rules is gone or empty nobody is admitted, as the default would; then its rules hold."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("'vendordata:ask': 'role:member'\n")
    operator = Operator(tmp_path, clock)
    kept = tmp_path / "kept"
    os.link(path, kept) if take is not empty else kept.write_text(path.read_text())
    take(path)
    gone = [operator.verdict(caller) for caller in (MEMBER, NOVA, MEMBER)]
    if path.is_dir():
        path.rmdir()
    kept.replace(path)
    assert [AWAY, AWAY, AWAY, "admitted", DENIED] == [*gone, operator.verdict(MEMBER), operator.verdict(NOVA)]


def test_nobody_is_admitted_while_the_folder_is_gone(tmp_path: Path, clock: Clock) -> None:
    """While policy.d is gone nobody is admitted."""
    folder = tmp_path / "policy.d"
    folder.mkdir()
    (folder / "10-ask.yaml").write_text(NARROW)
    operator = Operator(tmp_path, clock)
    folder.rename(tmp_path / "away")
    gone = operator.verdict(NOVA)
    (tmp_path / "away").rename(folder)
    assert (AWAY, "admitted") == (gone, operator.verdict(NOVA))


def test_a_reload_does_without_a_removed_file(tmp_path: Path, clock: Clock) -> None:
    """A new start of the policy, as at SIGHUP, takes the files that there are."""
    path = tmp_path / "policy.yaml"
    path.write_text(NOBODY)
    before = Operator(tmp_path, clock).verdict(NOVA)
    path.unlink()
    assert (DENIED, "admitted") == (before, Operator(tmp_path, clock).verdict(NOVA))


def test_a_copy_in_policy_d_may_go(tmp_path: Path, clock: Clock) -> None:
    """The copies of an editor may come and go in policy.d; while there, they are in force, as oslo.policy has it."""
    folder = tmp_path / "policy.d"
    folder.mkdir()
    (folder / "10-ask.yaml").write_text(NARROW)
    (folder / ".10-ask.yaml.swp").write_text(WIDE)
    operator = Operator(tmp_path, clock)
    copy = folder / "10-ask.yaml~"
    verdicts = [operator.verdict(MEMBER)]
    copy.write_text(WIDE)
    verdicts.append(operator.verdict(MEMBER))
    copy.unlink()
    assert [DENIED, "admitted", DENIED] == [*verdicts, operator.verdict(MEMBER)]


def test_a_file_that_comes_later_is_in_force(tmp_path: Path, clock: Clock) -> None:
    """A server that started without a policy file obeys one that comes later, and misses it when it goes."""
    operator = Operator(tmp_path, clock)
    verdicts = [operator.verdict(NOVA)]
    mv_older(tmp_path / "policy.yaml", NOBODY)
    verdicts.append(operator.verdict(NOVA))
    (tmp_path / "policy.yaml").unlink()
    assert ["admitted", DENIED, AWAY] == [*verdicts, operator.verdict(NOVA)]


def test_a_folder_in_place_of_the_file_stops_the_start(tmp_path: Path, clock: Clock) -> None:
    """A folder in place of the policy file is an error at the start, and not a policy without rules."""
    (tmp_path / "policy.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"policy\.yaml: .*/policy\.yaml is a directory$"):
        Operator(tmp_path, clock)

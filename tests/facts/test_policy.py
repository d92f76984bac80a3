"""Facts in the rules of policy.yaml: which instances a handler answers for, by what their cloud knows of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.auth.test_policy_http import Server as Decider
from tests.facts.test_lookups import Other
from vendorsrv import ConfigError, Handler, VendordataRequest
from vendorsrv.testing import ManualClock, serve
from vendorsrv.testing.server import Server


class Open(Handler):
    """One that needs no facts."""

    cache_for = 60.0

    async def handle(self, request: VendordataRequest) -> str:
        """Return whether the facts of the rule are seen, which they are not."""
        return "facts" if vars(request.facts) else "open"

    async def cloud_init(self, request: VendordataRequest) -> None:
        """Have nothing."""


def write(folder: Path, rule: str, more: str = "") -> None:
    """Replace the policy file by one with a handler's rule."""
    path = folder / "policy.yaml"
    path.with_suffix(".new").write_text(f'"vendordata:handler:open": "{rule}"\n{more}')
    os.replace(path.with_suffix(".new"), path)


@pytest.mark.parametrize(
    ("rule", "status", "asked"),
    [
        ("az:ams1", 200, {"server"}),
        ("az:ams2", 403, {"server"}),
        ("not az:ams2", 200, {"server"}),
        ("image_property:os_distro=ubuntu", 200, {"image"}),
        ("image_property:os_distro=rhel", 403, {"image"}),
        ("image_property:hw_rng=a=b", 200, {"image"}),
        ("image_property:os_version=None", 403, {"image"}),
        ("'d0':%(project_domain_id)s", 200, {"project"}),
        ("'default':%(project_domain_id)s", 403, {"project"}),
        ("'ams1':%(availability_zone)s", 200, {"server"}),
        ("role:member or (az:ams1 and not 'd1':%(project_domain_id)s)", 200, {"server", "project"}),
        ("rule:vendordata:ask", 200, set()),
        ("role:service and boot_role:member", 200, set()),
    ],
)
def test_a_rule_decides_by_facts(tmp_path: Path, rule: str, status: int, asked: set[str]) -> None:
    """A rule compares the zone, the image's properties and the project's domain; what it does not name is not asked."""
    write(tmp_path, rule)
    image = {"properties": {"os_distro": "ubuntu", "hw_rng": "a=b"}}
    facts: Mapping[str, Mapping[str, object]] = {
        "server": {"availability_zone": "ams1"},
        "image": image,
        "project": {"domain_id": "d0"},
    }
    with serve(Open, facts=facts, directory=tmp_path) as server:
        assert [status] * 6 == [each.status for each in server.config_drive("open")]
        assert dict.fromkeys(asked, 1) == {name: count for name, count in server.cloud.asked.items() if name != "token"}
        if status == 200:
            assert "open" == server.ask("open").json


def test_a_rule_may_refer_to_rules_with_facts(tmp_path: Path) -> None:
    """Facts are found through rule:, however many rules lie between."""
    write(tmp_path, "role:service and rule:here", "here: not rule:there\nthere: not rule:it\nit: az:ams1\n")
    with serve(Open, facts={"server": {"availability_zone": "ams1"}}, directory=tmp_path) as server:
        assert 200 == server.ask("open").status
        assert 1 == server.cloud.asked["server"]


def test_rules_that_refer_to_each_other(tmp_path: Path) -> None:
    """Rules that refer to each other in a circle are refused as before, and not followed without end."""
    write(tmp_path, "rule:here", "here: rule:there\nthere: rule:here or az:ams1\n")
    with pytest.raises(ConfigError, match="are not well defined"), serve(Open, facts={}, directory=tmp_path):
        pass


def test_an_instance_from_a_volume_has_no_image_properties(tmp_path: Path) -> None:
    """image_property: does not match an instance without an image, and Glance is not asked."""
    write(tmp_path, "image_property:os_distro=debian")
    with serve(Open, facts={}, directory=tmp_path) as server:
        assert [403, 403, 200] == [server.ask("open", image_id=image).status for image in ("", None, "image-1")]
        assert 1 == server.cloud.asked["image"]


@pytest.mark.parametrize("rule", ["az:nova", "not az:nova", "role:service or az:nova"])
@pytest.mark.parametrize(
    ("behaviours", "facts", "answer"),
    [
        ({"nova": "failing"}, {}, (503, "facts_unavailable", "Nova answered with status 500")),
        ({"nova": "forbidding"}, {}, (503, "facts_refused", "Nova refuses vendorsrv's account")),
        ({}, {"server": None}, (503, "facts_refused", "Nova does not know the instance's server")),
    ],
)
def test_a_fact_that_cannot_be_had_neither_denies_nor_admits(
    tmp_path: Path, rule: str, behaviours: Mapping[str, str], facts: Mapping[str, None], answer: tuple[int, str, str]
) -> None:
    """Without a fact that the rule names the answer is 503 with the service's name, for each path; nothing runs."""
    write(tmp_path, rule)
    with serve(Open, Other, facts=facts, directory=tmp_path) as server:
        server.cloud.behaviours.update(behaviours)
        for path in ("open", "/", "/cloud-init"):
            asked = server.ask(path)
            assert answer == (asked.status, asked.code, asked.message)


def test_an_unknown_instance_of_a_handler_that_verifies(tmp_path: Path) -> None:
    """A handler that verifies its instances answers 403 for one that Nova does not know, whatever its rule names."""
    write(tmp_path, "az:nova and image_property:os_distro=debian")
    sections = {"handler:open": {"verify": True}}
    with serve(Open, facts={"server": None}, directory=tmp_path, sections=sections) as server:
        assert "Nova knows no such instance in the project that the request names" == server.ask("open").message
        write(tmp_path, "image_property:os_distro=debian")
        assert 403 == server.ask("open").status


def test_a_slow_service_is_named_within_the_request_s_time(tmp_path: Path) -> None:
    """A service that does not answer is named before Nova would give up."""
    write(tmp_path, "az:nova")
    sections = {"vendorsrv": {"request_timeout": 2}}
    with serve(Open, facts={}, directory=tmp_path, sections=sections) as server:
        server.cloud.behaviours["nova"] = "hanging"
        assert "Nova did not answer in time" == server.ask("open").message
        server.cloud.over.set()


def test_all_handlers_that_are_denied_are_left_out(tmp_path: Path) -> None:
    """`POST /` has the handlers whose rules admit the instance; their facts are looked up once."""
    write(tmp_path, "az:ams2")
    with serve(Open, Other, facts={"server": {"availability_zone": "ams1"}}, directory=tmp_path) as server:
        assert {"other": "web-1"} == server.ask("/").json
        assert 200 == server.ask("/cloud-init").status
        assert {"token": 1, "server": 1, "project": 1} == server.cloud.asked


def test_a_rule_decides_by_facts_of_the_last_seconds(tmp_path: Path) -> None:
    """A rule decides by what was looked up in the last keep_for seconds, also for a cached answer."""
    write(tmp_path, "az:ams1")
    clock = ManualClock()
    facts = {"server": {"availability_zone": "ams1"}}
    with serve(Open, facts=facts, directory=tmp_path, clock=clock) as server:
        assert 200 == server.ask("open").status
        server.cloud.facts["server"] = {"availability_zone": "ams2"}
        clock.advance(14)
        assert 200 == server.ask("open").status
        clock.advance(2)
        assert 403 == server.ask("open").status


@pytest.fixture
def decider() -> Iterator[Decider]:
    """A server that rules ask."""
    with Decider() as server:
        yield server


def test_a_server_that_decides_gets_the_facts(tmp_path: Path, decider: Decider) -> None:
    """A rule that names facts and asks a server sends them in the target; its URL may name them."""
    write(tmp_path, f"az:nova and image_property:os_distro=debian and {decider.base}/%(project_domain_id)s")
    with serve(Open, facts={}, directory=tmp_path) as server:
        assert [200, 200] == [server.ask("open").status for _ in range(2)]
    ((path, question),) = decider.asked
    target: Any = question["target"]
    assert ("/default", "nova", {"os_distro": "debian"}, "default") == (
        path,
        target["availability_zone"],
        target["image_properties"],
        target["project_domain_id"],
    )


def ask_after_reload(server: Server, clock: ManualClock) -> tuple[int, str | None]:
    """Ask when decisions of before have been forgotten."""
    clock.advance(6)
    answer = server.ask("open")
    return answer.status, answer.code if answer.status != 200 else None


def test_a_policy_that_names_facts_from_now_on(tmp_path: Path) -> None:
    """A changed policy.yaml that names facts, or others than before, is in force; one that names none needs none."""
    clock = ManualClock()
    write(tmp_path, "role:service")
    with serve(Open, facts={}, directory=tmp_path, clock=clock) as server:
        assert (200, None) == ask_after_reload(server, clock)
        write(tmp_path, "az:ams1")
        assert (403, "forbidden") == ask_after_reload(server, clock)
        write(tmp_path, "image_property:os_distro=debian")
        assert (200, None) == ask_after_reload(server, clock)
        write(tmp_path, "role:service")
        server.cloud.stop()
        clock.advance(60)
        assert (200, None) == ask_after_reload(server, clock)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("az:ams1", "names facts, which need an account: set [service_account] auth_type"),
        ("image_property:os_distro", "has image_property:os_distro; write image_property:NAME=VALUE"),
    ],
)
def test_a_policy_that_cannot_have_facts_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: str, reason: str
) -> None:
    """A changed policy.yaml whose facts cannot be had is refused as a broken one, until it is repaired."""
    clock = ManualClock()
    write(tmp_path, "role:service")
    with serve(Open, directory=tmp_path, clock=clock) as server:
        assert (200, None) == ask_after_reload(server, clock)
        write(tmp_path, wrong)
        assert [(503, "policy_unavailable")] * 2 == [ask_after_reload(server, clock) for _ in range(2)]
        assert f"the policy file cannot be read: ValueError: rule 'vendordata:handler:open' {reason}" in caplog.messages
        write(tmp_path, "role:service")
        assert (200, None) == ask_after_reload(server, clock)


def test_a_server_with_such_a_policy_does_not_start(tmp_path: Path) -> None:
    """A rule that names facts without an account stops the start, and the error names the option."""
    write(tmp_path, "az:ams1")
    with pytest.raises(ConfigError) as caught, serve(Open, directory=tmp_path):
        pass
    reason = "rule 'vendordata:handler:open' names facts, which need an account: set [service_account] auth_type"
    assert str(caught.value).endswith(reason)

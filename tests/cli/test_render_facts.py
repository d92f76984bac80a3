"""``vendorsrv render`` with handlers that need facts, which are those of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from oslo_config import cfg

from tests.support.serving import section
from vendorsrv import CloudConfig, Handler, VendordataRequest
from vendorsrv.cli.main import main
from vendorsrv.facts import Image, Project, Server, optional
from vendorsrv.testing import FakeCloud, FakeUpstream, Reply


class Known(Handler):
    """Tell cloud-init what is known."""

    needs = (Server, Image, optional(Project))

    async def cloud_init(self, request: VendordataRequest) -> CloudConfig:
        """Return some of each fact."""
        facts = request.facts
        names = [
            facts.server.availability_zone or "none",
            facts.image.properties["os_distro"] if facts.image else "volume",
            getattr(facts.project, "domain_id", "unknown"),
        ]
        return CloudConfig({"fqdn": ".".join(names)})


class Prepared(Known):
    """The same by a preparation."""

    async def prepare(self, request: VendordataRequest) -> str:
        """Return the server's name."""
        return request.facts.server.name

    async def cloud_init(self, request: VendordataRequest) -> CloudConfig:
        """Return the name."""
        return CloudConfig({"fqdn": request.prepared})


class Asking(Handler):
    """Ask a site's server and Nova."""

    options = (cfg.StrOpt("url", required=True, help="The site's server."),)

    async def cloud_init(self, request: VendordataRequest) -> CloudConfig:
        """Return what both say."""
        site = (await self.http.get(self.settings.url)).raise_for_status().json()
        nova = await self.openstack.get("/flavors", endpoint_filter={"service_type": "compute"})
        return CloudConfig({"fqdn": f"{site['rack']}.{nova.json()['flavor']}"})


def render(folder: Path, facts: str | None, *options: str, handler: str = "Known") -> Result:
    """Run the command with a file of facts."""
    path = folder / "facts.json"
    if facts is not None:
        path.write_text(facts)
        options = ("--facts", str(path), *options)
    return CliRunner().invoke(main, ["render", f"{__name__}:{handler}", "--json", *options])


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ('{"server": {"availability_zone": "az1"}}', "az1.volume.unknown"),
        ('{"server": {"OS-EXT-AZ:availability_zone": "az2"}, "image": null}', "az2.volume.unknown"),
        ('{"server": {}, "image": {"os_distro": "rhel"}, "project": {}}', "none.rhel.default"),
        ('{"server": {}, "image": {"properties": {"os_distro": "sles"}}}', "none.sles.unknown"),
        ('{"server": {}, "project": {"domain_id": "d1"}}', "none.volume.d1"),
    ],
)
def test_facts_are_those_of_the_file(tmp_path: Path, facts: str, name: str) -> None:
    """Facts have the names of the API or of their attributes; what is left out is invented, optional or a volume."""
    assert {"fqdn": name} == json.loads(render(tmp_path, facts).stdout)["config"]


def test_a_preparation_has_the_facts(tmp_path: Path) -> None:
    """What prepares for the instance gets the same facts."""
    result = render(tmp_path, '{"server": {"name": "db-1"}}', handler="Prepared")
    assert {"fqdn": "db-1"} == json.loads(result.stdout)["config"]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (None, "handler known needs facts of the instance: server, image; give them with --facts FILE"),
        ('{"image": {}}', "handler known needs facts of the instance: server; give them with --facts FILE"),
        (
            '{"server": null, "image": null}',
            "handler known needs facts of the instance: server; give them with --facts FILE",
        ),
        ('{"sever": {}}', "there is no fact sever; did you mean server?"),
        ('{"server": {"name": 5}}', "the fact server: name: Input should be a valid string"),
        (
            '{"server": "web-1"}',
            'the facts must be a JSON object of objects, such as {"server": {"availability_zone": "az1"}}',
        ),
        ("[]", 'the facts must be a JSON object of objects, such as {"server": {"availability_zone": "az1"}}'),
        ("{", "the facts are not JSON"),
    ],
)
def test_facts_that_are_missing_or_wrong(tmp_path: Path, facts: str | None, reason: str) -> None:
    """A fact that is needed and not given, or that cannot be read, is one line on standard error."""
    payload = tmp_path / "payload.json"
    payload.write_text('{"instance-id": "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d", "image-id": "image-1"}')
    result = render(tmp_path, facts, "--payload", str(payload))
    assert (1, f"vendorsrv: {reason}\n") == (result.exit_code, result.stderr)


def test_a_handler_asks_other_services_as_in_the_server(tmp_path: Path) -> None:
    """With the server's configuration, its account is that of `self.openstack`."""
    path = tmp_path / "vendorsrv.conf"
    with FakeUpstream() as upstream, FakeCloud() as cloud:
        cloud.routes["GET /compute/v2.1/flavors"] = Reply(b'{"flavor": "m1"}')
        own = section("handler:asking", {"url": upstream.url})
        path.write_text(f"{own}\n{section('service_account', cloud.options)}")
        result = render(tmp_path, None, "--config-file", str(path), handler="Asking")
    assert (0, {"fqdn": "r1.m1"}) == (result.exit_code, json.loads(result.output)["config"])

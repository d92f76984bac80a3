"""Handlers that have something for cloud-init, which the item ``parts`` of the metadata asks for."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final

from vendorsrv import CloudConfig, Handler, OnError, Script, ServiceUnavailable, VendordataRequest
from vendorsrv.cloudinit.parts import Boothook, Jinja


class Timezone(Handler):
    """Sets one key, by a plain method, and has no answer but that."""

    def cloud_init(self, request: VendordataRequest) -> CloudConfig | None:
        """Return one part."""
        return CloudConfig({"timezone": "Europe/Berlin"}) if request.metadata.get("parts") == "timezone" else None


class Five(Handler):
    """Gives five parts, and can do it wrong."""

    async def handle(self, request: VendordataRequest) -> Any:
        """Return a part where an answer is asked for."""
        return Script("#!/bin/sh\n", name="alone")

    async def cloud_init(self, request: VendordataRequest) -> Any:
        """Return what is asked for."""
        match request.metadata.get("parts"):
            case "five":
                return [
                    CloudConfig({"ntp": {"servers": ["a"]}}),
                    CloudConfig({"ntp": {"servers": ["b"]}, "final_message": "é"}),
                    Script("#!/bin/sh\necho é\n", name="first"),
                    Script("#!/bin/sh\n", name="second"),
                    Boothook("#!/bin/sh\n"),
                ]
            case "broken":
                return CloudConfig({"hostnme": "x"})
            case "raised":
                raise RuntimeError("planted-secret")
        return None


#: As many as make half a megabyte.
LINES: Final = 8_000


class Large(Handler):
    """Gives a large cloud-config: made by CloudConfig, as a text of its own, or with a script beside it."""

    async def handle(self, request: VendordataRequest) -> Any:
        """Return what is asked for."""
        return await self.cloud_init(request)

    async def cloud_init(self, request: VendordataRequest) -> Any:
        """Return what is asked for."""
        lines = [["echo", str(number), request.instance_id] for number in range(LINES)]
        if request.metadata["parts"] == "text":
            return ["#cloud-config\n" + json.dumps({"runcmd": lines}, indent=0)]
        made = CloudConfig({"runcmd": lines}, replaceable=["runcmd"])
        return made if request.metadata["parts"] == "made" else [made, Script("#!/bin/sh\n")]


class Raw(Handler):
    """Answers for the target cloud-init by itself, with the item ``answer`` of the metadata."""

    for_cloud_init = True

    async def handle(self, request: VendordataRequest) -> Any:
        """Return it."""
        return json.loads(request.metadata["answer"])


class Optional(Handler):
    """Fails, and the instance can live without."""

    on_error = OnError.EMPTY

    async def cloud_init(self, request: VendordataRequest) -> Any:
        """Raise."""
        raise ServiceUnavailable("the address store is being upgraded")


class Named(Handler):
    """Sets the hostname for certain."""

    cloud_init_keys: ClassVar[tuple[str, ...]] = ("hostname",)

    async def cloud_init(self, request: VendordataRequest) -> CloudConfig:
        """Return it."""
        return CloudConfig({"hostname": "named", "ntp": {"enabled": True}})


class AlsoNamed(Handler):
    """Sets the hostname too, and says it nowhere."""

    async def cloud_init(self, request: VendordataRequest) -> list[CloudConfig | Script]:
        """Return another one."""
        return [CloudConfig({"hostname": "also-named", "ntp": {"enabled": False}}), Script("#!/bin/sh\n")]


class Clashing(Named):
    """Sets the hostname for certain, as another does."""

    cloud_init_keys: ClassVar[tuple[str, ...]] = ("hostname", "fqdn")


class Pinned(Raw):
    """Keeps its first parts for the instance's life."""

    pin = True

    async def cloud_init(self, request: VendordataRequest) -> Any:
        """Return a script that names the roles, which change."""
        return Script(f"#!/bin/sh\n# {','.join(request.boot_roles)}\n")


class Rendering(Handler):
    """Gives what only the instance can judge."""

    async def cloud_init(self, request: VendordataRequest) -> Jinja:
        """Return a template that renders to no cloud-config."""
        return Jinja("#cloud-config\n- {{ 1 }}\n")

"""A handler that needs facts, and only serves instances that exist."""

from __future__ import annotations

from typing import Any

from vendorsrv import Handler, VendordataRequest
from vendorsrv.facts import Image, Project, Server


class Where(Handler):
    """Tell an instance what the cloud's services knew of it when they were asked first."""

    needs = (Server, Image, Project)
    verify = True
    pin = True

    async def handle(self, request: VendordataRequest) -> dict[str, Any]:
        """Return one value of each."""
        server, image, project = request.facts.server, request.facts.image, request.facts.project
        return {
            "flavor": server.flavor.name,
            "image": image.name if image else None,
            "project": project.name,
            "status": server.status,
            "zone": server.availability_zone,
        }

"""Facts from a JSON file, for handlers that run without a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from vendorsrv.errors import ConfigError
from vendorsrv.instance import FACTS, Fact, Facts
from vendorsrv.request import VendordataRequest
from vendorsrv.suggest import did_you_mean_or_list


def read_facts(content: bytes, request: VendordataRequest) -> dict[str, Fact | None]:
    """Read what is known of an instance.

    :param content: a JSON object with ``server``, ``image`` and ``project``, or some of them. Their members have the
        names of the service's API or of the fact's attributes; what they must have is invented if it is left out.
    :param request: about the instance.
    :raises ConfigError: it is something else.
    """
    try:
        given = json.loads(content)
    except (ValueError, RecursionError):
        raise ConfigError("the facts are not JSON") from None
    if not isinstance(given, dict) or not all(isinstance(each, dict | None) for each in given.values()):
        raise ConfigError(
            'the facts must be a JSON object of objects, such as {"server": {"availability_zone": "az1"}}'
        )
    for name in given:
        if name not in FACTS:
            raise ConfigError(f"there is no fact {name}{did_you_mean_or_list(name, FACTS)}")
    return {name: None if it is None else build(name, it, request) for name, it in given.items()}


def build(name: str, members: Mapping[str, Any], request: VendordataRequest) -> Fact:
    instance = request.hostname or "web-1"
    project = request.project_id or "invented"
    invented = {
        "server": {
            "id": request.instance_id,
            "name": instance,
            "status": "BUILD",
            "project_id": project,
            "user_id": "",
        },
        "image": {"id": request.image_id or "invented"},
        "project": {"id": project, "name": "invented", "domain_id": "default"},
    }
    try:
        return FACTS[name].model_validate({**invented[name], **members})
    except ValidationError as error:
        finding = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(f"the fact {name}: {'.'.join(map(str, finding['loc']))}: {finding['msg']}") from None


def facts_for(
    name: str, needs: Mapping[str, bool], given: Mapping[str, Fact | None], request: VendordataRequest
) -> Facts:
    """Return the facts that a handler needs.

    :param name: the handler's.
    :param needs: the names of the facts, and whether each is required.
    :param given: what is known.
    :raises ConfigError: a required one is not; an instance without an image was booted from a volume.
    """
    no_image = {"image"} if "image" in given or not request.image_id else set()
    missing = [each for each, needed in needs.items() if needed and not given.get(each) and each not in no_image]
    if missing:
        raise ConfigError(
            f"handler {name} needs facts of the instance: {', '.join(missing)}; give them with --facts FILE"
        )
    return Facts(**{each: given.get(each) for each in needs})

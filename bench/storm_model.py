"""When a boot storm asks for what: hosts that start at about the same time, and the instances that each one builds."""

from __future__ import annotations

import base64
import json
import random
import uuid
from dataclasses import dataclass
from typing import Final, NamedTuple

#: Builds that a nova-compute has under way at the same time (``[DEFAULT] max_concurrent_builds`` of Nova).
BUILDS: Final = 10
#: Of the storm's window, the share in which the hosts themselves start.
STARTING: Final = 0.2
USER_DATA: Final = base64.b64encode(b"#cloud-config\n" + b"# a line as every cloud-config has them\n" * 25).decode()


@dataclass(frozen=True, slots=True)
class Storm:
    """How much is asked for.

    :ivar hosts: nova-computes, each with a token of its own.
    :ivar instances: that they build in all; the scheduler spreads them evenly.
    :ivar calls: for each instance, one after the other; Nova's config drive takes six.
    :ivar window: seconds in which the builds begin, more or less; 0 is all at once.
    :ivar seed: of the random times; the same storm for each contender.
    """

    hosts: int = 50
    instances: int = 1000
    calls: int = 6
    window: float = 20.0
    seed: int = 1


class Build(NamedTuple):
    """One instance's config drive.

    :ivar host: the number of its host.
    :ivar begins: seconds after the storm's beginning; later when its host has :data:`BUILDS` under way.
    :ivar body: what Nova posts, each time.
    """

    host: int
    begins: float
    instance: str
    body: bytes


def builds(storm: Storm) -> list[Build]:
    """Give all builds, in the order of their beginnings.

    Each host starts at a random time in the first :data:`STARTING` of the window. From then on its config drives
    begin at random, as many in a second as fit them into the rest of the window (exponential times in between):
    before its config drive each instance has waited for networks, volumes and images.
    """
    numbers = random.Random(storm.seed)
    starts = [numbers.uniform(0, storm.window * STARTING) for _ in range(storm.hosts)]
    between = storm.window * (1 - STARTING) * storm.hosts / storm.instances
    planned = []
    for number in range(storm.instances):
        host = number % storm.hosts
        starts[host] += numbers.expovariate(1.0) * between
        instance = str(uuid.UUID(int=numbers.getrandbits(128), version=4))
        planned.append(Build(host, starts[host], instance, body(instance, number)))
    return sorted(planned, key=lambda build: build.begins)


def body(instance: str, number: int) -> bytes:
    """Give what Nova posts for an instance, byte for byte as its JSON module writes it."""
    fields = {
        "project-id": f"{number % 7:032x}",
        "instance-id": instance,
        "image-id": "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d",
        "user-data": USER_DATA,
        "hostname": f"mail-{number}",
        "metadata": {"tier": "gold"},
        "boot-roles": "member,reader,mail-admin",
    }
    return json.dumps(fields).encode()

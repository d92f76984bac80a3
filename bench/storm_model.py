"""The plan of a boot storm: hosts that start at about the same time, and the instances that each one builds."""

from __future__ import annotations

import base64
import json
import random
import uuid
from dataclasses import dataclass
from typing import Final, NamedTuple

#: Concurrent builds of a nova-compute (Nova's ``[DEFAULT] max_concurrent_builds``).
BUILDS: Final = 10
#: The share of the storm's window in which the hosts start.
STARTING: Final = 0.2
USER_DATA: Final = base64.b64encode(b"#cloud-config\n" + b"# a line as every cloud-config has them\n" * 25).decode()


@dataclass(frozen=True, slots=True)
class Storm:
    """The size of a storm.

    :ivar hosts: nova-computes, each with a token of its own.
    :ivar instances: in all, spread evenly over the hosts.
    :ivar calls: for each instance, in sequence; Nova makes six for a config drive.
    :ivar window: seconds in which about all builds start; 0 starts all at once.
    :ivar seed: of the random times; every contender gets the same storm.
    """

    hosts: int = 50
    instances: int = 1000
    calls: int = 6
    window: float = 20.0
    seed: int = 1


class Build(NamedTuple):
    """One instance's config drive.

    :ivar host: the number of its host.
    :ivar begins: earliest start in seconds of the storm; it waits while its host has :data:`BUILDS` running.
    :ivar body: Nova's body, the same for each call.
    """

    host: int
    begins: float
    instance: str
    body: bytes


def builds(storm: Storm) -> list[Build]:
    """Return all builds, in the order of their start.

    Each host starts at a random time in the first :data:`STARTING` of the window. Its config drives then start at
    exponential intervals that fit them into the rest of the window: before its config drive, an instance waits for
    networks, volumes and images.
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
    """Return Nova's body for an instance, byte for byte."""
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

"""What Nova, Glance and Keystone know of an instance, as frozen models, and how a handler says what it needs.

The attributes have openstacksdk's names. ``vendorsrv.facts`` is where handlers import these from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)

EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


def freeze(value: Any) -> Any:
    """Return a JSON value that cannot be changed: handlers share it."""
    if isinstance(value, Mapping):
        return MappingProxyType({name: freeze(each) for name, each in value.items()})
    return tuple(map(freeze, value)) if isinstance(value, list | tuple) else value


def thaw(value: Any) -> Any:
    """Return a frozen value as JSON has it."""
    if isinstance(value, Mapping):
        return {name: thaw(each) for name, each in value.items()}
    return list(map(thaw, value)) if isinstance(value, tuple) else value


def frozen_members(value: Any) -> Any:
    """Return the frozen members of an object; null is none."""
    if value is not None and not isinstance(value, Mapping):
        raise ValueError("not an object")
    return freeze(value or {})


#: Read-only members of a JSON object.
Members = Annotated[Mapping[str, Any], PlainValidator(frozen_members), PlainSerializer(thaw)]


class Fact(BaseModel):
    """Base of what a service knows; members that newer services add are ignored."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="ignore")


class Flavor(Fact):
    """A server's flavor as Nova embeds it (since microversion 2.47): as it was at boot or at the last resize.

    :ivar ram: MiB.
    :ivar disk: GiB, as is ``ephemeral``.
    :ivar swap: MiB.
    """

    name: str | None = Field(default=None, validation_alias=AliasChoices("original_name", "name"))
    vcpus: int | None = None
    ram: int | None = None
    disk: int | None = None
    ephemeral: int | None = Field(default=None, validation_alias=AliasChoices("OS-FLV-EXT-DATA:ephemeral", "ephemeral"))
    swap: int | None = None
    extra_specs: Members = Field(default_factory=lambda: EMPTY)


NO_FLAVOR: Final = Flavor()


class Server(Fact):
    """An instance as Nova knows it. What a policy or an older Nova hides is None.

    :ivar status: such as ``BUILD`` while Nova makes the config drive.
    :ivar host_id: a hash of the compute host and the project; empty until the host is chosen. See :meth:`is_on`.
    :ivar compute_host: the compute host's name, as are the two below; None unless ``[facts] scope = admin``.
    :ivar metadata: as it is now; what Nova sent with the request may be 15 s old.
    """

    id: str
    name: str
    status: str
    project_id: str = Field(validation_alias=AliasChoices("tenant_id", "project_id"))
    user_id: str
    availability_zone: str | None = Field(default=None, validation_alias="OS-EXT-AZ:availability_zone")
    pinned_availability_zone: str | None = None
    host_id: str = Field(default="", validation_alias="hostId")
    compute_host: str | None = Field(default=None, validation_alias="OS-EXT-SRV-ATTR:host")
    hypervisor_hostname: str | None = Field(default=None, validation_alias="OS-EXT-SRV-ATTR:hypervisor_hostname")
    instance_name: str | None = Field(default=None, validation_alias="OS-EXT-SRV-ATTR:instance_name")
    hostname: str | None = Field(default=None, validation_alias="OS-EXT-SRV-ATTR:hostname")
    key_name: str | None = None
    flavor: Flavor = Field(default_factory=lambda: NO_FLAVOR)
    addresses: Members = Field(default_factory=lambda: EMPTY)
    metadata: Members = Field(default_factory=lambda: EMPTY)
    tags: tuple[str, ...] = ()
    server_groups: tuple[str, ...] = ()
    created_at: str | None = Field(default=None, validation_alias=AliasChoices("created", "created_at"))
    launched_at: str | None = Field(default=None, validation_alias="OS-SRV-USG:launched_at")
    task_state: str | None = Field(default=None, validation_alias="OS-EXT-STS:task_state")
    vm_state: str | None = Field(default=None, validation_alias="OS-EXT-STS:vm_state")
    is_locked: bool | None = Field(default=None, validation_alias=AliasChoices("locked", "is_locked"))
    description: str | None = None

    def is_on(self, host: str) -> bool:
        """Whether the instance is on a compute host, which needs no ``scope = admin`` (``nova.utils.generate_hostid``).

        :param host: the name in that host's ``[DEFAULT] host``.
        """
        return self.host_id == hashlib.sha224(f"{self.project_id}{host}".encode()).hexdigest()


class Image(Fact):
    """The image of an instance as Glance knows it.

    :ivar properties: the custom properties by name, ``os_distro`` among them; ``image.properties.get("os_distro")``.
    :ivar min_disk: GiB.
    :ivar min_ram: MiB.
    :ivar size: bytes.
    """

    id: str
    name: str | None = None
    status: str | None = None
    visibility: str | None = None
    owner_id: str | None = Field(default=None, validation_alias=AliasChoices("owner", "owner_id"))
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int | None = None
    min_ram: int | None = None
    size: int | None = None
    checksum: str | None = None
    hash_algo: str | None = Field(default=None, validation_alias=AliasChoices("os_hash_algo", "hash_algo"))
    hash_value: str | None = Field(default=None, validation_alias=AliasChoices("os_hash_value", "hash_value"))
    is_protected: bool | None = Field(default=None, validation_alias=AliasChoices("protected", "is_protected"))
    is_hidden: bool | None = Field(default=None, validation_alias=AliasChoices("os_hidden", "is_hidden"))
    created_at: str | None = None
    updated_at: str | None = None
    tags: tuple[str, ...] = ()
    properties: Members = Field(default_factory=lambda: EMPTY)

    @model_validator(mode="before")
    @classmethod
    def gather_properties(cls, members: Any) -> Any:
        """Gather the custom properties, which Glance has beside its own members (schema of image v2)."""
        if not isinstance(members, dict) or "properties" in members:
            return members
        own = {*OF_GLANCE, *cls.model_fields}
        return {**members, "properties": {name: value for name, value in members.items() if name not in own}}


#: Glance's own members of an image that are no attributes here.
OF_GLANCE: Final = (
    *("owner", "os_hash_algo", "os_hash_value", "protected", "os_hidden", "virtual_size"),
    *("file", "self", "schema", "locations", "direct_url", "stores"),
)


class Project(Fact):
    """The project of an instance as Keystone knows it."""

    id: str
    name: str
    domain_id: str
    description: str | None = None
    is_enabled: bool | None = Field(default=None, validation_alias=AliasChoices("enabled", "is_enabled"))
    parent_id: str | None = None
    tags: tuple[str, ...] = ()
    options: Members = Field(default_factory=lambda: EMPTY)


class Optional(NamedTuple):
    """A fact that a handler can do without."""

    fact: type[Fact]


def optional(fact: type[Fact]) -> Optional:
    """Mark a fact in ``needs`` as one that is None when it cannot be had."""
    return Optional(fact)


#: The facts that a handler can need, by their names in ``request.facts``.
FACTS: Final[Mapping[str, type[Fact]]] = MappingProxyType({"server": Server, "image": Image, "project": Project})


class Facts:
    """The facts that a handler needs; reading another one is an AttributeError.

    :ivar server: the instance.
    :ivar image: its image; None for an instance that was booted from a volume.
    :ivar project: its project.
    """

    server: Server
    image: Image | None
    project: Project

    def __init__(self, **known: Fact | None) -> None:
        self.__dict__.update(known)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"facts.{name}: the handler's `needs` does not name it")


NO_FACTS: Final = Facts()


def required(needs: Any) -> dict[str, bool]:
    """Return the names of the needed facts, and whether each is required.

    :param needs: of a handler's class.
    """
    names = {fact: name for name, fact in FACTS.items()}
    return {names[getattr(need, "fact", need)]: not isinstance(need, Optional) for need in needs}


def find_wrong_needs(needs: Any) -> list[str]:
    """Return what is wrong with the ``needs`` of a handler's class."""
    if not isinstance(needs, tuple | list):
        return ["needs must be a tuple of facts; one alone needs a comma: needs = (Server,)"]
    known = [*FACTS.values()]
    wrong = [need for need in needs if getattr(need, "fact", need) not in known]
    return [f"needs contains {each!r}; it may contain Server, Image, Project and optional(…)" for each in wrong]

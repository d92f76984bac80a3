"""Nova's JSON in, frozen values out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Required

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from vendorsrv.errors import BadRequest
from vendorsrv.instance import EMPTY, NO_FACTS, Facts
from vendorsrv.strictjson import MAX_VALUES, StrictJSONError, parse

UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: What each pattern of :data:`NovaBody` asks for.
RULES: Final[dict[str | int, str]] = {
    "instance-id": "be a UUID in its canonical form (lower case, with hyphens)",
    "hostname": "not hold control characters",
}

#: The body as Nova 34 sends it (``nova/api/metadata/vendordata_dynamic.py``). Whatever ``nova.objects.Instance``
#: lets be null may be null here; what older Novas leave out may be absent; what newer ones add is kept.
NovaBody = TypedDict(
    "NovaBody",
    {
        "project-id": Annotated[str | None, Field(description="the instance's project")],
        "instance-id": Required[
            Annotated[
                str,
                Field(
                    description="the instance's UUID", pattern=f"^{UUID.pattern}$", json_schema_extra={"format": "uuid"}
                ),
            ]
        ],
        "image-id": Annotated[str | None, Field(description="the image; empty when booted from a volume")],
        "user-data": Annotated[str | None, Field(description="base64, as the user sent it")],
        "hostname": Annotated[
            Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")] | None,
            Field(description="the short name, without a domain"),
        ],
        "metadata": Annotated[dict[str, str], Field(description="the user's key-value pairs")],
        "boot-roles": Annotated[str, Field(description="the roles that the user had at boot, joined by commas")],
    },
    total=False,
)
NovaBody.__pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[attr-defined]
NOVA_BODY: Final = TypeAdapter(NovaBody)
#: The largest body in bytes whose parsed request is cached, and how many are.
CACHED_BYTES: Final = 4096
CACHED_REQUESTS: Final = 512
#: One for the process: ``json.dumps`` with options would build one for every request.
ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
KNOWN: Final = frozenset(NovaBody.__annotations__)
#: The running handler's deadline on the monotonic clock; infinite outside of a run.
DEADLINE: Final[ContextVar[float]] = ContextVar("DEADLINE", default=math.inf)
#: The project of the instance for which a handler runs.
PROJECT: Final[ContextVar[str | None]] = ContextVar("PROJECT", default=None)
#: Raises PinsUnavailable when the running handler's claim of its instance is lost.
STILL_OURS: Final[ContextVar[Callable[[], None]]] = ContextVar("STILL_OURS", default=lambda: None)


class BootRoles(tuple[str, ...]):
    """The roles that the booting user had, in Nova's order; ``"Mail-Admin" in roles`` ignores case.

    Keystone compares role names without case, and so does oslo.policy (``RoleCheck``).
    """

    __slots__ = ()

    def __contains__(self, role: object) -> bool:
        return isinstance(role, str) and any(role.lower() == name.lower() for name in self)


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of the token, from Keystone: Nova's service account, if the policy let it in.

    ``roles`` and the rest are the *caller's*; the roles of the user who booted are the request's ``boot_roles``.
    """

    user_id: str
    user_name: str | None = None
    user_domain_id: str | None = None
    project_id: str | None = None
    project_name: str | None = None
    project_domain_id: str | None = None
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class VendordataRequest:
    """What Nova says of one instance; nothing in it can be changed.

    :ivar instance_id: the instance's UUID, in canonical form; always there.
    :ivar project_id: the instance's project (the caller's is another one), or None.
    :ivar image_id: the image's id; empty for an instance that was booted from a volume; or None.
    :ivar user_data: base64 as the user sent it, at most 65,535 characters, or None. Not in ``repr()``.
    :ivar hostname: the short name, without a domain, or None.
    :ivar metadata: the user's metadata, read-only. Not in ``repr()``.
    :ivar boot_roles: see :class:`BootRoles`.
    :ivar extra: members of the body that this version does not know, read-only. Not in ``repr()``.
    :ivar caller: who asked, see :class:`Caller`; None outside of a server.
    :ivar request_id: this request's id, ``req-…``, for the handler's own log lines.
    :ivar body: the bytes that Nova posted, for what passes them on. Not in ``repr()``, and not compared, nor is the
        next.
    :ivar token: the caller's, for what passes it on to a server that the operator trusts with it. Never log it.
    :ivar peer: the IPv4 or IPv6 address of who asked, as text, as a trusted proxy forwards it; empty if it is not
        known, and outside of a server. Answers are cached without regard to it.
    :ivar prepared: what the handler's ``prepare`` made for the instance, as JSON has it; None without that method. Not
        in ``repr()``, and not compared. Never log it.
    :ivar facts: what Nova, Glance and Keystone know of the instance, as the handler's ``needs`` ask for it.
    """

    instance_id: str
    project_id: str | None = None
    image_id: str | None = None
    user_data: str | None = field(default=None, repr=False)
    hostname: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: EMPTY, repr=False)
    boot_roles: BootRoles = BootRoles()
    extra: Mapping[str, Any] = field(default_factory=lambda: EMPTY, repr=False)
    caller: Caller | None = None
    request_id: str = ""
    body: bytes = field(default=b"", repr=False, compare=False)
    token: str | None = field(default=None, repr=False, compare=False)
    peer: str = ""
    prepared: Any = field(default=None, repr=False, compare=False)
    facts: Facts = field(default=NO_FACTS, repr=False, compare=False)
    # The request that was parsed from the same bytes before; all that share it differ in caller, token, id and peer.
    shared: ClassVar[VendordataRequest | None] = None

    @classmethod
    def from_json(
        cls, body: bytes, caller: Caller | None = None, request_id: str = "", token: str | None = None, peer: str = ""
    ) -> VendordataRequest:
        """Parse what Nova posts (``DynamicVendorData._do_request``).

        :param body: the whole body.
        :param token: the caller's.
        :param peer: the address of who asked.
        :raises BadRequest: naming the field that is wrong, and never its value.
        """
        if not body:
            raise BadRequest("the body is empty; Nova posts a JSON object")
        shared = parse_cached(body) if len(body) <= CACHED_BYTES else parse_body(body)
        own: dict[str, Any] = {
            "shared": shared,
            "caller": caller,
            "request_id": request_id,
            "token": token,
            "peer": peer,
        }
        if shared.extra:
            # A handler that changes an inner value must not change it for the next request.
            own["extra"] = MappingProxyType(deepcopy(dict(shared.extra)))
        request = object.__new__(cls)
        request.__dict__.update(shared.__dict__, **own)  # __init__ takes five times as long to freeze each attribute
        return request

    def with_facts(self, facts: Facts) -> VendordataRequest:
        """Return the same request with what is known of its instance."""
        request = object.__new__(type(self))
        request.__dict__.update(self.__dict__, facts=facts)
        return request

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of everything that Nova said; equal for the same members in any order and spacing."""
        if self.shared:  # computed once for all requests with the same body
            return self.shared.digest
        texts = (self.instance_id, self.project_id, self.image_id, self.user_data, self.hostname)
        members = [*texts, dict(self.metadata), self.boot_roles, dict(self.extra)]
        return hashlib.sha256(ENCODER.encode(members).encode("ascii")).digest()

    def time_left(self) -> float:
        """Return the seconds until the run's deadline, 0.0 when it has passed; infinity outside of a run.

        The deadline is the earlier one of the handler's ``timeout`` and the server's ``request_timeout``.
        """
        return max(0.0, DEADLINE.get() - time.monotonic())

    def still_ours(self) -> None:
        """Raise if another run may make the pinned answer instead of this one, which must have no more side effects.

        That happens to a plain ``def`` that goes on after its deadline, when its claim of the instance has expired, and
        to a run whose pin was forgotten. In a thread the database is asked; on the event loop, where a run is cancelled
        at its deadline, only whether the claim has expired. A handler that pins nothing claims nothing.

        :raises PinsUnavailable: the claim is lost, or the database does not say that it is not.
        """
        STILL_OURS.get()()

    def decoded_user_data(self) -> bytes | None:
        """Return the user-data as the instance sees it, or None when there is none; it may have line breaks.

        :raises BadRequest: it is not base64.
        """
        if self.user_data is None:
            return None
        try:
            return base64.b64decode("".join(self.user_data.split()), validate=True)
        except (binascii.Error, ValueError):
            raise BadRequest("user-data is not base64") from None


def parse_body(body: bytes) -> VendordataRequest:
    try:
        members = NOVA_BODY.validate_python(parse(body, MAX_VALUES))
    except StrictJSONError as error:
        raise BadRequest(f"the body {error}") from None
    except ValidationError as error:
        raise BadRequest(explain(error)) from None
    unknown = {name: value for name, value in members.items() if name not in KNOWN}
    return VendordataRequest(
        instance_id=members["instance-id"],
        project_id=members.get("project-id"),
        image_id=members.get("image-id"),
        user_data=members.get("user-data"),
        hostname=members.get("hostname"),
        metadata=MappingProxyType(members.get("metadata", {})),
        boot_roles=BootRoles(filter(None, members.get("boot-roles", "").split(","))),
        extra=MappingProxyType(unknown) if unknown else EMPTY,
        body=body,
    )


#: Nova sends the same bytes six times and more: to parse and validate them each time takes a third of a request's CPU.
parse_cached: Final = lru_cache(maxsize=CACHED_REQUESTS)(parse_body)


def explain(error: ValidationError) -> str:
    """Return pydantic's first finding as one sentence, without the value."""
    finding = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field_name, *below = finding["loc"] or ("the body",)
    if below:  # the user chose the name of a metadata item: say only that it is one
        field_name = f"an item of {field_name}"
    match finding["type"]:
        case "missing":
            return f"{field_name} is missing"
        case "string_pattern_mismatch":
            return f"{field_name} must {RULES[field_name]}"
        case "string_type":
            return f"{field_name} must be a string"
    return f"{field_name} must be an object"

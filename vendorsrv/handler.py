"""The class that handler authors subclass."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from oslo_config import cfg
from pydantic import BaseModel

from vendorsrv.declarations import OnError, contradictions, is_number
from vendorsrv.instance import Fact, Optional
from vendorsrv.request import VendordataRequest


class Job(NamedTuple):
    """What a handler does every so many seconds."""

    seconds: float
    method: Callable[[], Any]
    once_per_cluster: bool
    name: str


class GivenByServer:
    """An attribute that the server gives each handler; a handler's own of the same name overrides it."""

    def __set_name__(self, _: type, name: str) -> None:
        self.name = name

    def __get__(self, handler: Handler | None, _: type) -> Any:
        if handler is None:
            return self
        if handler.clients is None:
            raise RuntimeError(f"self.{self.name} is there in a server only; in tests, in vendorsrv.testing.serve()")
        return getattr(handler.clients, self.name)


class HandlerDefinitionError(TypeError):
    """A Handler subclass cannot work as declared; the text names the class, the file and the line."""


class Handler:
    """Base class of every handler: one kind of vendordata, served under ``POST /<name>``.

    A subclass defines :meth:`handle` or :meth:`cloud_init` or both, as ``async def`` or as plain ``def`` (then it
    runs in a thread). Each worker process creates one object of it, with its settings, and calls it for every request.

    :cvar name: the URL segment and the configuration's section; the class's name in kebab-case by default.
    :cvar timeout: seconds for one answer; Nova gives up after 5 (``[api] vendordata_dynamic_read_timeout``).
    :cvar threads: calls of a plain ``def handle`` that a worker runs at once.
    :cvar cache_for: seconds for which an answer is reused for an identical request; 0 turns this off.
    :cvar pin: whether the first answer, even ``{}``, is stored and returned for the rest of the instance's life;
        implied by ``pin_for`` and :meth:`prepare`.
    :cvar pin_for: seconds after which what is pinned expires: answers and preparation together. It implies ``pin``; 0:
        for the instance's life.
    :cvar on_error: what Nova gets instead of an error, see :class:`OnError`.
    :cvar concurrency: answers that a worker computes at once (a plain ``def handle``: at most ``threads``).
    :cvar queue: requests that may wait for a slot of ``concurrency``.
    :cvar per_caller: whether answers depend on the caller; then they are not shared between callers. A pinned answer
        still belongs to the instance.
    :cvar section: the section of the operator's options, ``handler:<name>`` by default.
    :cvar version: change it when answers change: cached answers of another version are not used. By default the
        version of the handler's package.
    :cvar for_cloud_init: whether Nova's target ``cloud-init`` calls this handler directly, and not the server's
        ``/cloud-init``; then its answer is one string that cannot harm a boot, or an error.
    :cvar required_for_ready: whether the server is not ready while :meth:`state` says that the handler is not.
    :cvar cloud_init_keys: top-level keys that :meth:`cloud_init` always sets, such as ``("hostname",)``. Two handlers
        that set the same key are not served together.
    :cvar answer: a pydantic model of what :meth:`handle` returns, which is checked by it; a dict of its members fits.
        OpenAPI and ``vendorsrv schema`` describe it. None and ``{}`` are "nothing for this instance" all the same.
    :cvar needs: the facts that the request has for the methods: ``(Server, optional(Image))`` of ``vendorsrv.facts``.
    :cvar verify: whether :meth:`handle` and :meth:`cloud_init` run only for an instance that exists at Nova, is not
        deleted, and is in the project that the request names; else the answer is 403.
    :cvar options: oslo.config options, read from the section into :attr:`settings`.
    :cvar routes: public GET routes, ``{"jwks.json": "jwks"}``: path below ``/<name>/``, and the name of the
        method (no arguments, sync or async) that returns its JSON. They need no token. One below ``.well-known/`` is
        served at the root, too.
    :cvar max_age: seconds for which clients may cache the answers of the routes; 0 says nothing of it.
    :ivar settings: the options' values as read-only attributes.
    :ivar http: an ``httpx.AsyncClient``; in a plain ``def``, an ``httpx.Client``. Its requests end with the run. No
        answer and a status 5xx raise ServiceUnavailable and UpstreamError; so do ``raise_for_status()`` and ``json()``
        of an answer that is no use. It follows no redirects, and ignores the environment's proxies.
    :ivar openstack: a ``keystoneauth1.session.Session`` of ``[service_account]`` for the project of the instance. In
        a coroutine, ``await self.openstack.get(…)``, and ``request``, ``post``, ``put`` and ``delete``.
    :ivar jobs: what :meth:`every` was given; None once vendorsrv does it.
    :raises HandlerDefinitionError: a subclass is defined that cannot work.
    """

    name: ClassVar[str]
    timeout: ClassVar[float] = 4.0
    threads: ClassVar[int] = 8
    cache_for: ClassVar[float] = 0.0
    pin: ClassVar[bool | None] = None
    pin_for: ClassVar[float] = 0.0
    on_error: ClassVar[OnError] = OnError.FAIL
    concurrency: ClassVar[int] = 64
    queue: ClassVar[int] = 256
    per_caller: bool = False
    section: ClassVar[str]
    version: str = ""
    for_cloud_init: ClassVar[bool] = False
    required_for_ready: ClassVar[bool] = False
    cloud_init_keys: ClassVar[Sequence[str]] = ()
    answer: ClassVar[type[BaseModel] | None] = None
    needs: ClassVar[Sequence[type[Fact] | Optional]] = ()
    verify: ClassVar[bool] = False
    options: ClassVar[Sequence[cfg.Opt]] = ()
    routes: ClassVar[Mapping[str, str]] = {}
    max_age: ClassVar[float] = 0.0
    jobs: Sequence[Job] | None = ()
    http: Any = GivenByServer()
    openstack: Any = GivenByServer()

    def __init__(self, settings: Any = None) -> None:
        self.settings = settings
        # Set by the server.
        self.forget_pins: Callable[[str], Awaitable[None]] | None = None
        self.clients: Any = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "name" not in cls.__dict__:
            cls.name = kebab(cls.__name__)
        if "section" not in cls.__dict__:
            cls.section = f"handler:{cls.name}"
        for problem in contradictions(cls, Handler):
            raise HandlerDefinitionError(f"{place_of(cls)}: class {cls.__name__}: {problem}")

    async def open(self) -> None:
        """Create what the handler shares between requests (a client, a pool); runs when the worker starts."""

    def every(self, seconds: float, method: Callable[[], Any], *, once_per_cluster: bool = False) -> None:
        """Call a method at once and then every so many seconds, as long as the worker runs; for use in :meth:`open`.

        It is called in a task or, if it is a plain ``def``, in a thread. A call that raises, or takes longer than
        ``seconds``, is logged, shown in ``/-/ready`` and repeated after a pause.

        :param method: one of the handler, without arguments.
        :param once_per_cluster: only one worker of all hosts calls it each time, as the pins' database decides.
        :raises ValueError: the seconds, the method or the time of the call is wrong.
        """
        name = getattr(method, "__name__", "")
        if not is_number(seconds) or not 0 < seconds < math.inf:
            raise ValueError(f"every: seconds is {seconds!r}; it must be more than 0 seconds")
        if not (callable(method) and name.isidentifier()):
            raise ValueError("every: it takes a method of the handler")
        if self.jobs is None:
            raise ValueError(f"every: {name} must be given in open()")
        if name in [job.name for job in self.jobs]:
            raise ValueError(f"every: {name} is given twice")
        self.jobs = (*self.jobs, Job(seconds, method, once_per_cluster, name))

    async def close(self) -> None:
        """Release what :meth:`open` created; runs when the worker stops."""

    def state(self) -> Mapping[str, Any]:
        """Return the state of the handler's dependencies without blocking: a JSON object, public in ``/-/ready``.

        ``{"ready": False, "message": "…"}`` says that the handler cannot answer now, and why; with
        :attr:`required_for_ready` the server is not ready then. If it raises or returns something else, the state is
        ``error``, and the server stays ready.
        """
        return {}

    def cache_key(self, request: VendordataRequest) -> Any:
        """Return what of a request the answer depends on, without blocking; by default it is everything in the request.

        Requests with equal keys share one run and, with :attr:`cache_for`, its answer, whatever else they differ in.

        :returns: a JSON value, such as ``request.project_id``.
        :raises VendordataError: Nova gets its status and message.
        """
        raise NotImplementedError

    def prepare(self, request: VendordataRequest) -> Any:
        """Return what is made once for an instance, such as a password; both methods get it as ``request.prepared``.

        Runs once in the whole cloud before the first of them, within the same deadline, and implies ``pin``. A method
        whose answer is pinned already does not need it.

        :returns: any JSON value.
        :raises VendordataError: as :meth:`handle`; so does NotYet, whose answer is then that of the method.
        :raises NotForThisInstance: nothing is made, and neither method runs.
        """
        raise NotImplementedError

    def deleted(self, instance_id: str, prepared: Any) -> Any:
        """Remove what the handler has created for an instance that is gone; ``async def`` or plain ``def``.

        ``vendorsrv listen`` calls it, within :attr:`timeout`, once in the whole cloud, for each instance that Nova
        deletes. If it raises, it is called again after a pause. So it is if its process dies before it has noted the
        end: it must be able to take that, and an instance of which it knows nothing.

        :param prepared: what :meth:`prepare` made; None where nothing was prepared.
        :raises NotForThisInstance: there is nothing to remove.
        """
        raise NotImplementedError

    async def forget(self, instance_id: str) -> None:
        """Forget what is pinned for an instance: its preparation and its answers. The next request makes them anew.

        Outside of a server, and in a handler that pins nothing, there is nothing to forget.

        :raises PinsUnavailable: the pin database does not answer; then nothing is forgotten.
        """
        if self.forget_pins:
            await self.forget_pins(instance_id)

    def handle(self, request: VendordataRequest) -> Any:
        """Return the data for one instance.

        :param request: what Nova sent about the instance.
        :returns: any JSON value; ``None`` and ``{}`` are "nothing for this instance".
        :raises VendordataError: Nova gets its status and message. Any other exception is a 500 without its text.
        """
        raise NotImplementedError

    def cloud_init(self, request: VendordataRequest) -> Any:
        """Return parts for an instance's cloud-init; ``POST /cloud-init`` joins those of all handlers.

        Deadline, cache, pin and ``on_error`` are as for :meth:`handle`; the two answers are kept separately.

        :returns: a CloudConfig, Script, Boothook or Jinja, or a list of them; ``None`` for nothing.
        :raises CloudInitError: by these classes; Nova gets its message, as that of every VendordataError.
        """
        raise NotImplementedError


def place_of(cls: type[Handler]) -> str:
    """Return file and line of the class statement, past the frames of a metaclass such as ABCMeta."""
    frames = inspect.stack(0)[2:]
    own = (frame for frame in frames if frame.frame.f_globals.get("__name__") == cls.__module__)
    place = next(own, frames[0])
    return f"{place.filename}:{place.lineno}"


def kebab(class_name: str) -> str:
    """Turn ``MailServer`` into ``mail-server``, and ``DNSRecord`` into ``dns-record``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", class_name).lower()


def defines_handle(cls: type[Handler]) -> bool:
    """Whether a class defines ``handle``; if not, its ``cloud_init`` returns the answer."""
    return cls.handle is not Handler.handle


def defines_cloud_init(cls: type[Handler]) -> bool:
    return cls.cloud_init is not Handler.cloud_init


def defines_cache_key(cls: type[Handler]) -> bool:
    return cls.cache_key is not Handler.cache_key


def defines_prepare(cls: type[Handler]) -> bool:
    return cls.prepare is not Handler.prepare


def defines_deleted(cls: type[Handler]) -> bool:
    return cls.deleted is not Handler.deleted

"""A handler class is refused when it is defined, if it cannot work."""

from __future__ import annotations

import abc
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from oslo_config import cfg
from pydantic import BaseModel

from vendorsrv import Handler, HandlerDefinitionError, OnError, VendordataRequest

MINE = cfg.StrOpt("mine")


class Mine(BaseModel):
    """A model of an answer."""


async def coroutine(_: Handler) -> dict[str, Any]:
    """What a handler's state() may not be."""
    return {}


async def coroutine_for(_: Handler, request: VendordataRequest) -> str:
    """What a handler's cache_key() may not be."""
    return ""


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"name": "Mail"}, "name 'Mail' must consist of lower-case letters, digits, - and _"),
        ({"name": "a/b"}, "name 'a/b' must consist of lower-case letters, digits, - and _"),
        ({"name": "-"}, "name '-' must consist of lower-case letters, digits, - and _"),
        ({"name": "mail\n"}, "name 'mail\\n' must consist of lower-case letters, digits, - and _"),
        ({"name": None}, "name None must consist of lower-case letters, digits, - and _"),
        ({"name": "cloud-init"}, "name 'cloud-init' is reserved for vendorsrv itself"),
        ({"name": "healthcheck"}, "name 'healthcheck' is reserved for vendorsrv itself"),
        ({"timeout": 0}, "timeout is 0; it must be more than 0 seconds"),
        ({"timeout": "4"}, "timeout is '4'; it must be more than 0 seconds"),
        ({"timeout": True}, "timeout is True; it must be more than 0 seconds"),
        ({"timeout": float("nan")}, "timeout is nan; it must be more than 0 seconds"),
        ({"timeout": float("inf")}, "timeout is inf; it must be more than 0 seconds"),
        ({"threads": 0}, "threads is 0; it must be a whole number, at least 1"),
        ({"threads": 1.5}, "threads is 1.5; it must be a whole number, at least 1"),
        ({"threads": True}, "threads is True; it must be a whole number, at least 1"),
        ({"concurrency": 0}, "concurrency is 0; it must be a whole number, at least 1"),
        ({"queue": -1}, "queue is -1; it must be a whole number, at least 0"),
        ({"cache_for": -1}, "cache_for is -1; it must be 0 seconds or more"),
        ({"cache_for": float("inf")}, "cache_for is inf; it must be 0 seconds or more"),
        ({"max_age": -1}, "max_age is -1; it must be 0 seconds or more"),
        ({"on_error": "fail"}, "on_error is 'fail'; it must be a member of OnError"),
        (
            {"pin": True, "cache_for": 1.0},
            "pin and cache_for exclude each other: a pinned answer is read from the pin store each time",
        ),
        (
            {"pin": True, "on_error": OnError.STALE},
            "pin and OnError.STALE exclude each other: a pinned answer is never stale",
        ),
        ({"pin_for": -1}, "pin_for is -1; it must be 0 seconds or more"),
        ({"pin_for": "300"}, "pin_for is '300'; it must be 0 seconds or more"),
        (
            {"pin_for": 60.0, "cache_for": 1.0},
            "pin_for and cache_for exclude each other: a pinned answer is read from the pin store each time",
        ),
        (
            {"prepare": lambda self, request: {}, "cache_for": 1.0},
            "prepare and cache_for exclude each other: a pinned answer is read from the pin store each time",
        ),
        (
            {"prepare": lambda self, request: {}, "on_error": OnError.STALE},
            "prepare and OnError.STALE exclude each other: a pinned answer is never stale",
        ),
        (
            {"prepare": lambda self, request: {}, "pin": False},
            "pin = false and prepare exclude each other: what it makes is pinned",
        ),
        ({"pin": False, "pin_for": 60.0}, "pin = false and pin_for exclude each other: what it makes is pinned"),
        ({"prepare": lambda self: {}}, "prepare must take the request: def prepare(self, request)"),
        ({"prepare": "no"}, "prepare must be a method"),
        (
            {"prepare": lambda self, request: {}, "name": "n" * 56},
            f"name '{'n' * 56}' is too long for a handler with prepare: at most 55 characters",
        ),
        ({"handle": "no"}, "handle must be a method"),
        ({"open": lambda self: None}, "open must be an async def"),
        ({"close": lambda self: None}, "close must be an async def"),
        ({"state": coroutine}, "state must be a plain def"),
        ({"answer": dict, "handle": coroutine_for}, "answer must be a pydantic model, a subclass of BaseModel"),
        ({"answer": Mine(), "handle": coroutine_for}, "answer must be a pydantic model, a subclass of BaseModel"),
        ({"answer": Mine}, "answer needs the method handle"),
        ({"cache_key": coroutine_for}, "cache_key must be a plain def"),
        ({"cache_key": "project_id"}, "cache_key must be a method"),
        ({"cache_key": lambda self: ""}, "cache_key must take the request: def cache_key(self, request)"),
        (
            {"cache_key": lambda self, request: "", "pin": True},
            "pin and cache_key exclude each other: a pinned answer belongs to one instance",
        ),
        ({"options": ("domain",)}, "options contains a str; it must contain oslo.config options"),
        ({"options": (MINE, MINE)}, "option 'mine' is declared twice, or exists for every handler"),
        (
            {"options": (cfg.IntOpt("timeout"),)},
            "option 'timeout' is declared twice, or exists for every handler",
        ),
        (
            {"options": (cfg.StrOpt("from"),)},
            "option 'from' is not a Python identifier; give it a dest",
        ),
        (
            {"options": (cfg.StrOpt("2nd"),)},
            "option '2nd' is not a Python identifier; give it a dest",
        ),
        ({"routes": {"/jwks": "handle"}}, "route '/jwks' must be a relative URL path"),
        ({"routes": {"{x}": "handle"}}, "route '{x}' must be a relative URL path"),
        ({"routes": {"jwks": "keys"}}, "route 'jwks' names the method 'keys', which does not exist"),
        ({"routes": {"jwks": "timeout"}}, "route 'jwks' names the method 'timeout', which does not exist"),
        (
            {"routes": {"jwks": "handle"}},
            "route 'jwks' names the method 'handle', which must take no argument: def handle(self)",
        ),
        ({"routes": ("jwks",)}, "routes must be a dict of paths and the names of methods"),
        ({"handle": lambda self: {}}, "handle must take the request: def handle(self, request)"),
        ({"handle": lambda self, request, more: {}}, "handle must take the request: def handle(self, request)"),
        ({"cloud_init": lambda self: {}}, "cloud_init must take the request: def cloud_init(self, request)"),
        ({"state": lambda self, request: {}}, "state must take no argument: def state(self)"),
        (
            {"options": cfg.StrOpt("domain")},
            ("options must be a tuple of oslo.config options; one alone needs a comma: options = (cfg.StrOpt(…),)"),
        ),
        ({"Timeout": 3}, "Timeout is not read; write timeout"),
        ({"cachefor": 3}, "cachefor is not read; write cache_for"),
    ],
)
def test_a_class_that_cannot_work_is_refused(attributes: dict[str, Any], problem: str) -> None:
    """Defining a handler class that cannot work raises HandlerDefinitionError with the reason."""
    with pytest.raises(HandlerDefinitionError) as caught:
        type("Mail", (Handler,), attributes)
    assert str(caught.value).endswith(f": class Mail: {problem}")


def plain() -> None:
    """Define a class that cannot work."""

    class Mail(Handler):
        timeout = 0


def abstract() -> None:
    """Define one with a metaclass, whose own code runs in between."""

    class Mail(Handler, abc.ABC):
        timeout = 0


def test_a_class_may_have_more_arguments_and_attributes() -> None:
    """A method may have further arguments with defaults, and a class attributes of its own."""

    class Own(Handler):
        """Has both."""

        TIMEOUT = 3.0
        names = ("a",)

        def handle(self, request: VendordataRequest, more: int = 0) -> Any:
            """Return nothing."""

    assert (4.0, "own") == (Own.timeout, Own.name)


@pytest.mark.parametrize("define", [plain, abstract])
def test_the_message_names_file_and_line(define: Callable[[], None]) -> None:
    """HandlerDefinitionError begins with the file and the line of the class statement."""
    with pytest.raises(HandlerDefinitionError) as caught:
        define()
    place = f"{Path(__file__)}:{define.__code__.co_firstlineno + 3}: class Mail: "
    assert str(caught.value).startswith(place)


def test_a_generated_class_is_named_by_its_creator() -> None:
    """HandlerDefinitionError names the line that created a class whose module does not exist."""
    with pytest.raises(HandlerDefinitionError) as caught:
        type("Mail", (Handler,), {"timeout": 0, "__module__": "nowhere"})
    assert f"{__file__}:" in str(caught.value)


@pytest.mark.parametrize(
    ("class_name", "name"),
    [("MailServer", "mail-server"), ("DNSRecord", "dns-record"), ("Ipv6", "ipv6"), ("My_Own", "my_own")],
)
def test_the_default_name_is_the_class_name_in_kebab_case(class_name: str, name: str) -> None:
    """A handler that declares no name has its class name in kebab-case."""
    handler: Any = type(class_name, (Handler,), {})
    assert name == handler.name


def test_a_name_is_not_inherited() -> None:
    """A subclass gets a name of its own, since two handlers cannot have the same URL."""

    class Base(Handler):
        name = "mail"

    class Special(Base):
        pass

    assert ("mail", "special") == (Base.name, Special.name)


def test_the_default_timeout_is_shorter_than_nova_s() -> None:
    """A handler that declares nothing has 4 seconds, 8 threads, no options and no routes."""
    assert (4.0, 8, (), {}) == (Handler.timeout, Handler.threads, Handler.options, Handler.routes)


def test_an_option_that_is_a_keyword_needs_a_dest() -> None:
    """An option that is named by a keyword is read by its dest."""

    class Mail(Handler):
        options: ClassVar = (cfg.StrOpt("from", dest="sender"),)

    assert "sender" == Mail.options[0].dest


def test_the_base_class_implements_no_answer() -> None:
    """Calling Handler's own handle, cloud_init, prepare, cache_key or deleted raises NotImplementedError."""
    for method in (Handler().handle, Handler().cloud_init, Handler().prepare, Handler().cache_key):
        with pytest.raises(NotImplementedError):
            method(VendordataRequest(instance_id=""))
    with pytest.raises(NotImplementedError):
        Handler().deleted("", None)

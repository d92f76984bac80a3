"""What a handler class may declare; everything else is refused when the class is defined."""

from __future__ import annotations

import abc
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from oslo_config import cfg

from vendorsrv import ConfigError, Handler, HandlerDefinitionError, OnError, VendordataRequest
from vendorsrv.handler import check_complete, is_async

MINE = cfg.StrOpt("mine")


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"name": "Mail"}, "name 'Mail' is no URL segment of lower-case letters, digits, - and _"),
        ({"name": "a/b"}, "name 'a/b' is no URL segment of lower-case letters, digits, - and _"),
        ({"name": "-"}, "name '-' is no URL segment of lower-case letters, digits, - and _"),
        ({"name": "mail\n"}, "name 'mail\\n' is no URL segment of lower-case letters, digits, - and _"),
        ({"name": None}, "name None is no URL segment of lower-case letters, digits, - and _"),
        ({"name": "cloud-init"}, "name 'cloud-init' is reserved for vendorsrv itself"),
        ({"timeout": 0}, "timeout is 0; it must be a number of seconds above 0"),
        ({"timeout": "4"}, "timeout is '4'; it must be a number of seconds above 0"),
        ({"timeout": True}, "timeout is True; it must be a number of seconds above 0"),
        ({"timeout": float("nan")}, "timeout is nan; it must be a number of seconds above 0"),
        ({"timeout": float("inf")}, "timeout is inf; it must be a number of seconds above 0"),
        ({"threads": 0}, "threads is 0; it must be a whole number above 0"),
        ({"threads": 1.5}, "threads is 1.5; it must be a whole number above 0"),
        ({"threads": True}, "threads is True; it must be a whole number above 0"),
        ({"concurrency": 0}, "concurrency is 0; it must be a whole number above 0"),
        ({"queue": -1}, "queue is -1; it must be a whole number of 0 or more"),
        ({"cache_for": -1}, "cache_for is -1; it must be a number of seconds"),
        ({"cache_for": float("inf")}, "cache_for is inf; it must be a number of seconds"),
        ({"on_error": "fail"}, "on_error is 'fail'; it must be a member of OnError"),
        (
            {"pin": True, "cache_for": 1.0},
            "pin and cache_for exclude each other: what is pinned is read from its store each time",
        ),
        (
            {"pin": True, "on_error": OnError.STALE},
            "pin and OnError.STALE exclude each other: a pinned answer is never stale",
        ),
        ({"handle": "no"}, "handle is no method"),
        ({"open": lambda self: None}, "open must be an async def"),
        ({"close": lambda self: None}, "close must be an async def"),
        ({"options": ("domain",)}, "options holds str, which is no oslo.config option"),
        ({"options": (MINE, MINE)}, "option 'mine' is declared twice, or is one that every handler has"),
        (
            {"options": (cfg.IntOpt("timeout"),)},
            "option 'timeout' is declared twice, or is one that every handler has",
        ),
        (
            {"options": (cfg.StrOpt("from"),)},
            "option 'from' is no name in Python, as settings need; give it a dest",
        ),
        (
            {"options": (cfg.StrOpt("2nd"),)},
            "option '2nd' is no name in Python, as settings need; give it a dest",
        ),
        ({"routes": {"/jwks": "handle"}}, "route '/jwks' is no relative URL path"),
        ({"routes": {"{x}": "handle"}}, "route '{x}' is no relative URL path"),
        ({"routes": {"jwks": "keys"}}, "route 'jwks' names the method 'keys', which does not exist"),
        ({"routes": {"jwks": "timeout"}}, "route 'jwks' names the method 'timeout', which does not exist"),
    ],
)
def test_a_contradiction_is_refused(attributes: dict[str, Any], problem: str) -> None:
    """The class is not defined, and the message says what is wrong with it."""
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


@pytest.mark.parametrize("define", [plain, abstract])
def test_the_message_names_file_and_line(define: Callable[[], None]) -> None:
    """It is the place of the class statement."""
    with pytest.raises(HandlerDefinitionError) as caught:
        define()
    place = f"{Path(__file__)}:{define.__code__.co_firstlineno + 3}: class Mail: "
    assert str(caught.value).startswith(place)


def test_a_class_of_nowhere_is_named_too() -> None:
    """A class that claims to be of another module is named by the place that made it."""
    with pytest.raises(HandlerDefinitionError) as caught:
        type("Mail", (Handler,), {"timeout": 0, "__module__": "nowhere"})
    assert f"{__file__}:" in str(caught.value)


@pytest.mark.parametrize(
    ("class_name", "name"),
    [("MailServer", "mail-server"), ("DNSRecord", "dns-record"), ("Ipv6", "ipv6"), ("My_Own", "my_own")],
)
def test_the_name_is_the_class_s_in_kebab_case(class_name: str, name: str) -> None:
    """A handler without a name has that of its class."""
    handler: Any = type(class_name, (Handler,), {})
    assert name == handler.name


def test_a_subclass_has_a_name_of_its_own() -> None:
    """A name is not inherited, or two handlers would have the same URL."""

    class Base(Handler):
        name = "mail"

    class Special(Base):
        pass

    assert ("mail", "special") == (Base.name, Special.name)


def test_the_defaults_are_below_nova_s_timeout() -> None:
    """What a handler does not declare is 4 seconds and 8 threads, without options and routes."""
    assert (4.0, 8, (), {}) == (Handler.timeout, Handler.threads, Handler.options, Handler.routes)


def test_an_option_that_is_a_keyword_needs_a_dest() -> None:
    """With one, the operator writes ``from`` and the handler reads ``sender``."""

    class Mail(Handler):
        options: ClassVar = (cfg.StrOpt("from", dest="sender"),)

    assert "sender" == Mail.options[0].dest


def test_a_class_without_a_handle_is_not_complete() -> None:
    """It may be a base of others, and cannot be served itself."""
    with pytest.raises(ConfigError, match=r"^handler base: class Base has no handle method$"):
        check_complete(type("Base", (Handler,), {}))


def test_the_base_answers_nothing() -> None:
    """Whoever calls it by super() is told."""
    for method in (Handler().handle, Handler().cloud_init):
        with pytest.raises(NotImplementedError):
            method(VendordataRequest(instance_id=""))


def test_where_a_handle_runs_is_seen_from_its_def() -> None:
    """``async def`` runs on the event loop, plain ``def`` in a thread."""

    class Coroutine(Handler):
        async def handle(self, request: VendordataRequest) -> object:
            return None

    class Plain(Handler):
        def handle(self, request: VendordataRequest) -> object:
            return None

    assert (True, False) == (is_async(Coroutine().handle), is_async(Plain().handle))

"""The contract's cases of cloud-init safety: the answer under the name ``cloud-init`` in vendor_data2.json."""

from __future__ import annotations

from typing import Final

from vendorsrv.cloudinit.guard import INCLUDES, Guard, host_of, included_urls
from vendorsrv.cloudinit.mime import read
from vendorsrv.cloudinit.text import load_config, type_of
from vendorsrv.contract.case import Cases, Judgement, failed, passed, readable
from vendorsrv.contract.session import ContractSession, NotTested
from vendorsrv.contract.wire import Exchange
from vendorsrv.errors import CloudInitError
from vendorsrv.nova.pitfalls import NOTHING

CLOUD_INIT: Final = Cases("cloud-init")
NAME: Final = "cloud-init"
#: Keys that users often have in their own cloud-config.
OVERRIDDEN: Final = ("bootcmd", "packages", "runcmd", "users", "write_files")


def for_cloud_init(session: ContractSession) -> Exchange:
    exchange = readable(session)
    if session.target.name != NAME:
        raise NotTested(f"the target's name is {session.target.name}; cloud-init reads only the one named {NAME}")
    return exchange


def text_for(session: ContractSession) -> tuple[Exchange, str]:
    exchange = for_cloud_init(session)
    if not isinstance(exchange.value, str):
        raise NotTested("the answer is not a string: see cloud-init-string")
    return exchange, exchange.value


@CLOUD_INIT.case("name", "info", "An answer for cloud-init has the name cloud-init")
def name(session: ContractSession) -> Judgement:
    """cloud-init reads only this key of vendor_data2.json, and ignores all others without a message."""
    exchange = readable(session)
    if session.target.name == NAME or not isinstance(exchange.value, str) or not type_of(exchange.value):
        return passed(exchange)
    return failed(exchange, f"the answer is for cloud-init, but the target's name is {session.target.name}")


@CLOUD_INIT.case("string", "must", "The answer is one string, or nothing")
def string(session: ContractSession) -> Judgement:
    """cloud-init ignores an object or a number.

    A list crashes newer versions, and the user's own user-data is lost. Nothing is {}, null or an empty string.
    """
    exchange = for_cloud_init(session)
    if isinstance(exchange.value, str) or exchange.value in NOTHING:
        return passed(exchange)
    return failed(exchange, f"the answer is {'a list' if isinstance(exchange.value, list) else 'not a string'}")


@CLOUD_INIT.case("parts", "must", "cloud-init accepts each part, and no part can break the boot")
def parts(session: ContractSession) -> Judgement:
    """A part without a header such as #cloud-config is ignored.

    A key of the wrong type can abort the init stage, and a lone surrogate always does.
    """
    exchange, text = text_for(session)
    try:
        Guard(hosts_of(text)).check_answer(text, "target")
    except CloudInitError as error:
        return failed(exchange, error.message)
    return passed(exchange)


def hosts_of(text: str) -> set[str]:
    """Return the hosts of ``#include`` URLs; a case of their own judges them.

    :raises CloudInitError: the text cannot be split into its parts.
    """
    urls = (url for part in read(text) if part.media_type in INCLUDES for url in included_urls(part.text))
    return {(host_of(url) or "").lower() for url in urls}


@CLOUD_INIT.case("include", "should", "Nothing is included from another host")
def include(session: ContractSession) -> Judgement:
    """An instance that cannot reach the URL of an #include also loses its user-data, after all retries."""
    exchange, text = text_for(session)
    try:
        hosts = hosts_of(text)
    except CloudInitError:
        raise NotTested("the parts cannot be read: see cloud-init-parts") from None
    return failed(exchange, "the answer has an #include") if hosts else passed(exchange)


@CLOUD_INIT.case("overridden", "info", "The user's own cloud-config does not replace the vendor's")
def overridden(session: ContractSession) -> Judgement:
    """For each top-level key the user's value replaces the vendor's.

    A vendor's runcmd, packages, users or write_files are lost as soon as the user has the same key. Scripts (#!) stay.
    """
    exchange, text = text_for(session)
    try:
        configs = [load_config(part.text, NAME) for part in read(text) if part.media_type == "text/cloud-config"]
    except CloudInitError:
        raise NotTested("the parts cannot be read: see cloud-init-parts") from None
    keys = sorted({key for config in configs for key in config if key in OVERRIDDEN})
    return failed(exchange, f"the answer has {', '.join(keys)}") if keys else passed(exchange)

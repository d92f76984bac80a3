"""The contract's cases of cloud-init safety: what stands under the name ``cloud-init`` in vendor_data2.json."""

from __future__ import annotations

from typing import Final

from vendorsrv.cloudinit.guard import INCLUDES, Guard, host_of, included
from vendorsrv.cloudinit.mime import read
from vendorsrv.cloudinit.text import load_config, type_of
from vendorsrv.contract.case import Cases, Judgement, failed, passed, readable
from vendorsrv.contract.session import NotTested, Talk
from vendorsrv.contract.wire import Exchange
from vendorsrv.errors import CloudInitError
from vendorsrv.nova.pitfalls import NOTHING

CLOUD_INIT: Final = Cases("cloud-init")
NAME: Final = "cloud-init"
#: Lists that users often have in a cloud-config of their own.
OVERRIDDEN: Final = ("bootcmd", "packages", "runcmd", "users", "write_files")


def for_cloud_init(talk: Talk) -> Exchange:
    exchange = readable(talk)
    if talk.target.name != NAME:
        raise NotTested(f"the target's name is {talk.target.name}; cloud-init reads only the one named {NAME}")
    return exchange


def text_for(talk: Talk) -> tuple[Exchange, str]:
    exchange = for_cloud_init(talk)
    if not isinstance(exchange.value, str):
        raise NotTested("the answer is no string: see cloud-init-string")
    return exchange, exchange.value


@CLOUD_INIT.case(
    "name",
    "info",
    "What is for cloud-init is under the name cloud-init",
    "Nova's usual body",
    "cloud-init looks at this key of vendor_data2.json only, and passes over all others without a word.",
)
def name(talk: Talk) -> Judgement:
    exchange = readable(talk)
    if talk.target.name == NAME or not isinstance(exchange.value, str) or not type_of(exchange.value):
        return passed(exchange)
    return failed(exchange, f"the answer is for cloud-init, and the target's name is {talk.target.name}")


@CLOUD_INIT.case(
    "string",
    "must",
    "The answer is one string, or nothing",
    "Nova's usual body",
    "cloud-init ignores an object or a number. A list crashes its newer versions, and the user's own user-data is lost "
    "with it. Nothing is {}, null or an empty string.",
)
def string(talk: Talk) -> Judgement:
    exchange = for_cloud_init(talk)
    if isinstance(exchange.value, str) or exchange.value in NOTHING:
        return passed(exchange)
    return failed(exchange, f"it is {'a list' if isinstance(exchange.value, list) else 'no string'}")


@CLOUD_INIT.case(
    "parts",
    "must",
    "Each part is one that cloud-init takes, and cannot hurt the boot",
    "Nova's usual body",
    "Without a header such as #cloud-config a part is ignored, with a key of the wrong type it can end the init stage, "
    "and a lone surrogate always does.",
)
def parts(talk: Talk) -> Judgement:
    exchange, text = text_for(talk)
    try:
        Guard(hosts_of(text)).value(text, "target")
    except CloudInitError as error:
        return failed(exchange, error.message)
    return passed(exchange)


def hosts_of(text: str) -> set[str]:
    """Give the hosts that are included from, which another case is about.

    :raises CloudInitError: the text's parts cannot be told apart.
    """
    urls = (url for part in read(text) if part.media_type in INCLUDES for url in included(part.text))
    return {(host_of(url) or "").lower() for url in urls}


@CLOUD_INIT.case(
    "include",
    "should",
    "Nothing is included from elsewhere",
    "Nova's usual body",
    "An instance that cannot reach an #include's URL loses its user-data too, after all retries.",
)
def include(talk: Talk) -> Judgement:
    exchange, text = text_for(talk)
    try:
        hosts = hosts_of(text)
    except CloudInitError:
        raise NotTested("its parts cannot be read: see cloud-init-parts") from None
    return failed(exchange, "there is an #include in it") if hosts else passed(exchange)


@CLOUD_INIT.case(
    "overridden",
    "info",
    "The user's own cloud-config does not replace the vendor's",
    "Nova's usual body",
    "For each top-level key the user's value wins as a whole: a vendor's runcmd, packages, users or write_files vanish "
    "as soon as the user has the same key. Scripts (#!) stay.",
)
def overridden(talk: Talk) -> Judgement:
    exchange, text = text_for(talk)
    try:
        configs = [load_config(part.text, NAME) for part in read(text) if part.media_type == "text/cloud-config"]
    except CloudInitError:
        raise NotTested("its parts cannot be read: see cloud-init-parts") from None
    keys = sorted({key for config in configs for key in config if key in OVERRIDDEN})
    return failed(exchange, f"it has {', '.join(keys)}") if keys else passed(exchange)

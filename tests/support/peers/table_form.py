"""The form of the contract's table: what Nova makes of an answer, directly and through our proxy, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.support.keystone import NOVA, Account


class Made(NamedTuple):
    """What Nova makes of one call.

    :ivar value: what stands under the target's name with ``vendordata_dynamic_failure_fatal`` off.
    :ivar raises: the class that Nova raises with it on, or None.
    :ivar message: what the exception's text begins with; ``…`` stands for the proxy's name.
    :ivar always: Nova raises that with it off, too, and there is no value.
    """

    value: Any = None
    raises: str | None = None
    message: str = ""
    always: bool = False

    @property
    def entry(self) -> str | None:
        """The text that Nova writes into vendor_data2.json with the option off; None when it raises all the same."""
        return None if self.always else json.dumps({"target": self.value})


class Case(NamedTuple):
    """One row.

    :ivar direct: what Nova makes of the server's answer.
    :ivar proxied: what it makes of the answer through our proxy; the same when there is nothing to better.
    :ivar why: the difference in a few words; those of docs/proxy.md for a server that misbehaves.
    :ivar change: what is unusual about the instance.
    :ivar account: as whom Nova asks; None: without a token.
    :ivar revoked: the token is revoked before the server sees it.
    """

    direct: Made
    proxied: Made
    why: str = ""
    change: Mapping[str, Any] = {}
    account: Account | None = NOVA
    revoked: bool = False


def kept(value: Any) -> Made:
    """Nova takes this value, and has nothing to log."""
    return Made(value)


def dropped(raises: str, message: str = "") -> Made:
    """Nova has ``{}``, or raises."""
    return Made({}, raises, message)


def always(raises: str) -> Made:
    """Nova raises, whatever its options say: no instance gets any vendordata."""
    return Made(None, raises, always=True)


def bad_gateway(message: str) -> Made:
    """Our proxy says that it got no answer that it could pass on."""
    return Made({}, "BadGateway", f"{message} (HTTP 502) (Request-ID: req-")


def gateway_timeout() -> Made:
    """Our proxy says that it got no answer within its time."""
    return Made({}, "GatewayTimeout", "upstream … gave no answer in time (HTTP 504) (Request-ID: req-")

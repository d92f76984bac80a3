"""The contract's cases of time: what Nova waits for, and what a boot waits for."""

from __future__ import annotations

from typing import Final

from vendorsrv.contract.case import Cases, Judgement, failed, passed
from vendorsrv.contract.session import NotTested, Talk

TIME: Final = Cases("time")


@TIME.case(
    "answer",
    "must",
    "The answer begins within Nova's read timeout",
    "Nova's usual body",
    "After vendordata_dynamic_read_timeout (5 s) Nova gives up without a second try, and the instance gets {}.",
)
def answer(talk: Talk) -> Judgement:
    exchange = talk.usual
    if exchange.status is None and not exchange.timed_out:
        raise NotTested(f"there is {exchange}")
    if exchange.timed_out:
        return failed(exchange, f"there was nothing for {talk.subject.limits.read_timeout:g} s")
    return passed(exchange)


@TIME.case(
    "whole",
    "must",
    "The whole answer comes within Nova's read timeout",
    "Nova's usual body",
    "Nova's timeout is for each read: a server that sends a byte now and then holds up the boot, and one of Nova's "
    "workers, for as long as it likes.",
)
def whole(talk: Talk) -> Judgement:
    exchange = talk.usual
    if exchange.status is None or exchange.timed_out:
        raise NotTested("there is no answer in time: see time-answer and answer-status")
    if exchange.elapsed > talk.subject.limits.read_timeout:
        return failed(exchange, f"it took {exchange.elapsed:.1f} s{' and was not over' if exchange.cut else ''}")
    return passed(exchange)


@TIME.case(
    "margin",
    "should",
    "Each answer takes less than half of Nova's read timeout",
    "Nova's usual body, seven times",
    "Keystone, the network and everybody else's boots come on top, and what is late is {} for good.",
)
def margin(talk: Talk) -> Judgement:
    slowest = max([talk.good, *talk.row], key=lambda exchange: exchange.elapsed)
    if slowest.elapsed > talk.subject.limits.read_timeout / 2:
        return failed(slowest, f"the slowest took {slowest.elapsed:.1f} s")
    return passed(slowest, f"the slowest took {slowest.elapsed:.2f} s")


@TIME.case(
    "drive",
    "should",
    "The six calls of a config drive take no longer together than Nova's read timeout",
    "Nova's usual body, six times over one connection",
    "Nova asks six times for each config drive, one call after the other and one target after the other, while the "
    "boot waits.",
)
def drive(talk: Talk) -> Judgement:
    took = sum(exchange.elapsed for exchange in talk.row)
    if took > talk.subject.limits.read_timeout:
        return failed(talk.row[-1], f"they took {took:.1f} s")
    return passed(talk.row[-1], f"they took {took:.2f} s")


@TIME.case(
    "kept-connection",
    "must",
    "A connection that was kept open can be used again",
    "Nova's usual body, six times over one connection",
    "Nova keeps its connections. A server that closes one without saying so loses the call that comes over it.",
)
def kept_connection(talk: Talk) -> Judgement:
    for number, exchange in enumerate(talk.row, 1):
        if exchange.status is None:
            return failed(exchange, f"call {number} of 6 got {exchange}")
    return passed(talk.row[-1])


@TIME.case(
    "at-once",
    "must",
    "Six calls at once are all answered within Nova's read timeout",
    "Nova's body for a new instance, six times at once",
    "Hosts boot instances side by side. A server that does one thing at a time makes the last of them wait for all.",
)
def at_once(talk: Talk) -> Judgement:
    for exchange in talk.burst:
        if not exchange.answered:
            return failed(exchange, f"one of six got {exchange}")
    slowest = max(talk.burst, key=lambda exchange: exchange.elapsed)
    return passed(slowest, f"the slowest took {slowest.elapsed:.2f} s")

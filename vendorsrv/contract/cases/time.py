"""The contract's cases of time: how long Nova waits, and how long a boot waits."""

from __future__ import annotations

from typing import Final

from vendorsrv.contract.case import Cases, Judgement, failed, passed
from vendorsrv.contract.session import ContractSession, NotTested

TIME: Final = Cases("time")


@TIME.case("answer", "must", "The answer begins within Nova's read timeout")
def answer(session: ContractSession) -> Judgement:
    """After vendordata_dynamic_read_timeout (5 s) Nova gives up without a retry, and the instance gets {}."""
    exchange = session.usual
    if exchange.status is None and not exchange.timed_out:
        raise NotTested(f"the call got {exchange}")
    if exchange.timed_out:
        return failed(exchange, f"there was no answer within {session.subject.limits.read_timeout:g} s")
    return passed(exchange)


@TIME.case("whole", "must", "The whole answer arrives within Nova's read timeout")
def whole(session: ContractSession) -> Judgement:
    """Nova's timeout is for each read.

    A server that sends a byte now and then blocks the boot, and one of Nova's workers, without limit.
    """
    exchange = session.usual
    if exchange.status is None or exchange.timed_out:
        raise NotTested("there was no answer in time: see time-answer and answer-status")
    if exchange.elapsed > session.subject.limits.read_timeout:
        return failed(exchange, f"it took {exchange.elapsed:.1f} s{' and had not ended' if exchange.cut else ''}")
    return passed(exchange)


@TIME.case(
    "margin", "should", "Each answer takes less than half of Nova's read timeout", "Nova's usual body, seven times"
)
def margin(session: ContractSession) -> Judgement:
    """Keystone, the network and other boots add to it, and a late answer is {} for good."""
    slowest = max([session.good, *session.sequence], key=lambda exchange: exchange.elapsed)
    if slowest.elapsed > session.subject.limits.read_timeout / 2:
        return failed(slowest, f"the slowest took {slowest.elapsed:.1f} s")
    return passed(slowest, f"the slowest took {slowest.elapsed:.2f} s")


@TIME.case(
    "drive",
    "should",
    "The six calls of a config drive together take at most Nova's read timeout",
    "Nova's usual body, six times over one connection",
)
def drive(session: ContractSession) -> Judgement:
    """Nova calls six times for each config drive, one call and one target after the other, while the boot waits."""
    took = sum(exchange.elapsed for exchange in session.sequence)
    if took > session.subject.limits.read_timeout:
        return failed(session.sequence[-1], f"they took {took:.1f} s")
    return passed(session.sequence[-1], f"they took {took:.2f} s")


@TIME.case(
    "kept-connection",
    "must",
    "A connection that is kept open can be reused",
    "Nova's usual body, six times over one connection",
)
def kept_connection(session: ContractSession) -> Judgement:
    """Nova reuses connections. If a server closes one without announcing it, the next call is lost."""
    for number, exchange in enumerate(session.sequence, 1):
        if exchange.status is None:
            return failed(exchange, f"call {number} of 6 got {exchange}")
    return passed(session.sequence[-1])


@TIME.case(
    "at-once",
    "must",
    "Six calls at once are all answered within Nova's read timeout",
    "Nova's body for a new instance, six times at once",
)
def at_once(session: ContractSession) -> Judgement:
    """Hosts boot instances at the same time.

    If a server handles one call at a time, the last one waits for all others.
    """
    for exchange in session.burst:
        if not exchange.answered:
            return failed(exchange, f"one of six calls got {exchange}")
    slowest = max(session.burst, key=lambda exchange: exchange.elapsed)
    return passed(slowest, f"the slowest took {slowest.elapsed:.2f} s")

"""Answers: a handler's return value, checked and encoded once."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from vendorsrv.errors import AnswerError, UpstreamError
from vendorsrv.strictjson import StrictJSONError, encode

#: The answer of a handler that is not for the instance, wherever answers are kept: JSON for ``{}``, with white space
#: that nobody writes. Nova gets ``{}``.
NOTHING: Final = b"{ \t}"


class UnusableAnswer(UpstreamError):
    """An upstream answered with what Nova could not use, which may be due to the data of its request."""


@dataclass(slots=True)  # freezing each attribute would take as long as all the rest
class Answer:
    """A handler's answer as Nova gets it. Requests share it: never change one.

    :ivar body: the JSON.
    :ivar fresh_for: seconds for which it may be reused; None when it must not be.
    :ivar source: where it is from: ``run``, ``shared`` (a run that another request started), ``cache``, ``pin``, or
        the fallback, ``stale`` or ``empty``; of an answer that consists of others, the source of each.
    """

    body: bytes
    fresh_for: float | None = None
    source: str = field(default="run", compare=False)


@dataclass(frozen=True, slots=True)
class HandlerAnswer:
    """A handler's answer as JSON, and how long it may be cached; a proxy returns one instead of a value.

    :ivar body: JSON that has been checked.
    :ivar may_store: whether it may be cached, or stored for ``on_error = stale``.
    :ivar max_age: the most seconds for which it may be reused; None where the operator alone decides.
    :ivar expires_at: when its pin expires, in seconds since the epoch by the database's clock; None: as the handler's
        ``pin_for`` has it.
    """

    body: bytes
    may_store: bool = True
    max_age: float | None = None
    expires_at: float | None = None


def modelled(value: Any, model: type[BaseModel], handler: str) -> Any:
    """Return the JSON value of an answer that a handler has declared a model of.

    :param value: an object of the model or its members; ``None`` and ``{}`` are nothing, and pass.
    :param handler: the handler's name, for the message.
    :raises AnswerError: it does not fit; the message has the member and pydantic's name of the error, and no value.
    """
    if value is None or value == {}:
        return value
    try:
        return model.model_validate(value).model_dump(mode="json", by_alias=True, warnings=False)
    except ValidationError as error:
        finding = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, finding["loc"])) or "all of it"
        text = f"{place} is wrong ({finding['type']})"[:200].encode("unicode_escape").decode("ascii")
        raise AnswerError(f"the answer of handler {handler} does not fit its model: {text}") from None
    except PydanticSerializationError:
        raise AnswerError(f"the answer of handler {handler} has a value that is not JSON") from None


def to_bytes(value: Any, handler: str, max_bytes: int) -> bytes:
    """Encode a handler's return value as the body that Nova gets.

    ``None`` becomes ``{}``, which Nova itself uses for no answer. Nova would pass on a number that is not finite, which
    breaks the whole vendor_data2.json; deep nesting raises RecursionError in Nova even with failure_fatal off.

    :param value: any JSON value; tuples count as lists.
    :param handler: the handler's name, for the message.
    :param max_bytes: the limit, in bytes of UTF-8.
    :raises AnswerError: the value is not JSON, or too large.
    """
    if value is None:
        return b"{}"
    try:
        body = encode(value)
    except StrictJSONError as error:
        if inspect.iscoroutine(value):
            value.close()  # else Python warns long after the request that it was never awaited
        raise AnswerError(f"the answer of handler {handler} {error}") from None
    if len(body) > max_bytes:
        raise AnswerError(f"the answer of handler {handler} has {len(body)} bytes; {max_bytes} are allowed")
    return body

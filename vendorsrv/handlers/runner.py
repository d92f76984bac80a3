"""Runs one method of a handler within its deadline and its threads."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Final

from vendorsrv.concurrency import GOING_ON, NoThreadFree, ThreadBudget, mark_retrieved, wait_for_end
from vendorsrv.errors import Busy, HandlerError, HandlerTimeout, NotForThisInstance, NotYet, VendordataError
from vendorsrv.request import DEADLINE, PROJECT
from vendorsrv.telemetry.tracebacks import raised_at

LOG = logging.getLogger(__name__)

#: Exceptions that asyncio lets end the event loop, whichever task raises them.
END_THE_WORKER: Final = (SystemExit, KeyboardInterrupt)


class UnexpectedError(HandlerError):
    """A handler raised anything but an error that it may raise."""


class Runner:
    """Calls one method of one handler, on the event loop or in a thread.

    :param handler: the handler's name, for messages.
    :param method: the handler's ``handle``, or the method of one of its routes.
    :param timeout: seconds for one call.
    :param threads: calls of a plain method at a time. One that overran its deadline counts until it returns: a thread
        cannot be stopped.
    :param concurrency: calls of a coroutine that may go on beyond their deadline: they swallow their cancellation.
    """

    def __init__(
        self, handler: str, method: Callable[..., Any], timeout: float, threads: int, concurrency: int
    ) -> None:
        self.handler = handler
        self.task_name = f"handler {handler}"
        self.method = method
        self.timeout = timeout
        self.threads = ThreadBudget(threads)
        self.concurrency = concurrency
        self.overrun: set[asyncio.Task[Any]] = set()
        self.call = self.on_loop if inspect.iscoroutinefunction(method) else self.in_thread

    async def run(
        self,
        *arguments: Any,
        budget: float,
        project_id: str | None = None,
        on_start: Callable[[asyncio.Task[Any]], None] = lambda _: None,
    ) -> Any:
        """Call the method.

        :param arguments: of the method, such as the request.
        :param budget: seconds left of the whole request.
        :param project_id: that of the instance for which it is called.
        :param on_start: is given the task of the call: a coroutine that swallows its cancellation goes on after this
            has returned. A thread that goes on counts by itself.
        :returns: what the method returned.
        :raises HandlerTimeout: the deadline or the budget ran out.
        :raises Busy: all threads of this handler are busy, or too many of its calls have overrun their deadlines.
        :raises UnexpectedError: the method raised anything but a VendordataError; its text is neither sent nor logged.
        """
        if len(self.overrun) >= self.concurrency:
            raise Busy(f"calls of handler {self.handler} go on beyond their deadline")
        deadline = max(0.0, min(self.timeout, budget))
        # A task of its own: a handler that swallows its cancellation must not keep Nova waiting.
        context = copy_context()
        context.run(DEADLINE.set, time.monotonic() + deadline)
        context.run(PROJECT.set, project_id)
        task = asyncio.create_task(self.call(*arguments), name=self.task_name, context=context)
        task.add_done_callback(mark_retrieved)
        if (tasks := GOING_ON.get()) is not None:
            tasks.add(task)
        on_start(task)
        try:
            if not await wait_for_end(task, deadline):
                raise HandlerTimeout(f"handler {self.handler} gave no answer within {deadline:.1f} seconds")
        finally:
            if not task.done():
                task.cancel()
                self.overrun.add(task)
                task.add_done_callback(self.overrun.discard)
        try:
            return task.result()
        except (VendordataError, NotForThisInstance, NotYet):
            raise
        except BaseException as error:  # eventlet's Timeout, for example, is not an Exception
            raise self.failed(error) from None

    def failed(self, error: BaseException) -> UnexpectedError:
        place = raised_at(error, getattr(self.method, "__module__", ""))
        LOG.error("handler %s raised %s %s", self.handler, type(error).__name__, place)
        return UnexpectedError(f"handler {self.handler} failed")

    async def on_loop(self, *arguments: Any) -> Any:
        try:
            return await self.method(*arguments)
        except END_THE_WORKER as error:
            raise self.failed(error) from None

    async def in_thread(self, *arguments: Any) -> Any:
        try:
            return await self.threads.run(self.without_exit, *arguments)
        except NoThreadFree:
            raise Busy(f"all threads of handler {self.handler} are busy") from None

    def without_exit(self, *arguments: Any) -> Any:
        try:
            return self.method(*arguments)
        except END_THE_WORKER as error:
            raise self.failed(error) from None

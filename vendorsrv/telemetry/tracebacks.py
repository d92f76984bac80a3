"""The innermost frames of an exception or a thread as one log line, and texts without what may be secret in them."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import Final

#: What a URL has before its host, and after its path; a user's password may have been written as it is, not quoted. The
#: bounds keep a long text of many slashes, which another server may have sent, from taking seconds.
USER: Final = re.compile(r"://(?:[^\s'\"]{0,2000}|[^\s'\"/@:\[]{0,200}:(?!\d+(?:[^\d@]|$))[^\n]{0,200}?)@")
QUERY: Final = re.compile(r"(/[^\s?'\"]{0,2000})\?\S*[^\s'\")\]}>,;.]")


def raised_at(error: BaseException, module: str = "") -> str:
    """Return an exception's innermost frames as ``file:line in function < …``; its text may hold a secret.

    :param module: of the code that was called: the innermost frame of its package is always among them.
    """
    walked = list(traceback.walk_tb(error.__traceback__))
    frames = traceback.StackSummary.extract(walked)
    package = module.partition(".")[0]
    own = [
        summary
        for (frame, _), summary in zip(walked, frames, strict=True)
        if module and str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    return as_line(frames, own[-1:])


def stack_of(frame: FrameType) -> str:
    """Return the innermost frames of a running thread, in the same form."""
    return as_line(traceback.extract_stack(frame))


def as_line(frames: Iterable[traceback.FrameSummary], kept: Sequence[traceback.FrameSummary] = ()) -> str:
    innermost = [frame for frame in frames if not frame.filename.startswith("<frozen")][-5:]
    chosen = [*(frame for frame in kept if frame not in innermost), *innermost]
    return " < ".join(
        f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in reversed(chosen[:1] + chosen[-4:])
    )


def without_secrets(text: object, secrets: Iterable[object] = ()) -> str:
    """Return a text without the user names, passwords and queries of its URLs, in which keys may be.

    :param secrets: values that are taken out as well.
    """
    shown = QUERY.sub(r"\1?***", USER.sub("://***@", str(text)))
    for secret in filter(None, map(str, secrets)):
        shown = shown.replace(secret, "***")
    return shown

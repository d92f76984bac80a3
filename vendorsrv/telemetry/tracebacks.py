"""The innermost frames of an exception or a thread as one log line, without the exception's text."""

from __future__ import annotations

import traceback
from types import FrameType


def raised_at(error: BaseException) -> str:
    """Return an exception's innermost frames as ``file:line in function < …``; its text may hold a secret."""
    return as_line(traceback.extract_tb(error.__traceback__))


def stack_of(frame: FrameType) -> str:
    """Return the innermost frames of a running thread, in the same form."""
    return as_line(traceback.extract_stack(frame))


def as_line(frames: traceback.StackSummary) -> str:
    own = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    return " < ".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in reversed(own[-5:]))

"""Read YAML as an instance's cloud-init does, which has PyYAML's pure parser, at the speed of libyaml."""

from __future__ import annotations

import math
import pickle
import re
import subprocess
import sys
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final

import yaml

#: libyaml's loader is twenty times as fast as the pure one.
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SCANNER: Final = getattr(yaml, "CLoader", yaml.Loader)
#: Whatever the two read differently has one of these.
SUSPECTS: Final = [  # one by one they are searched fast
    re.compile(each)
    for each in (r"[\t?\ufeff]", r"%(?<![^\n\r\x85\u2028\u2029]%)", r"[|>][-+\d]*#", r"!(?=[\s,\]}]|\Z)")
]
#: A comment without a space before it, in the header of a block scalar.
CLOSE_COMMENT: Final = re.compile(r"[|>][-+\d]*#")
#: The longest text that the pure parser reads in this process, which it holds up for 5 ms for 1,000 characters.
IN_PROCESS: Final = 4096
#: Seconds that it may take for a longer one, in a process of its own: enough for a megabyte and a half.
TIMEOUT: Final = 10.0
#: When it has to be done, on the monotonic clock.
UNTIL: Final[ContextVar[float]] = ContextVar("until", default=math.inf)
#: It writes the value, or the line of an error.
PURE: Final = """\
import pickle, sys, yaml
try:
    read = yaml.load(sys.stdin.buffer.read().decode(), yaml.SafeLoader), None
except yaml.MarkedYAMLError as error:
    read = None, error.problem_mark.line + 1
except Exception:
    read = None, 0
pickle.dump(read, sys.stdout.buffer)
"""


class InvalidYAML(Exception):
    """cloud-init could not read a text, and would ignore it.

    :ivar line: counted from 1; None when it is not known.
    """

    def __init__(self, line: int | None = None) -> None:
        super().__init__(line)
        self.line = line


@lru_cache(maxsize=64)
def load(text: str) -> Any:
    """Return a text's value, or an InvalidYAML; recent results are cached.

    :raises TimeoutError: it could not be read by :data:`UNTIL`.
    """
    loaded = load_by(LOADER, text)
    if any(each.search(text) for each in SUSPECTS) and (isinstance(loaded, InvalidYAML) or is_read_differently(text)):
        return load_by(yaml.SafeLoader, text) if len(text) <= IN_PROCESS else read_elsewhere(text)
    return loaded


def load_by(loader: Any, text: str) -> Any:
    try:
        return yaml.load(text, loader)  # noqa: S506 - a safe one
    except yaml.MarkedYAMLError as error:
        return InvalidYAML(error.problem_mark.line + 1 if error.problem_mark else None)
    except Exception:  # noqa: BLE001 - a date that does not exist is a ValueError, a wrong !!bool a KeyError
        return InvalidYAML()


def is_read_differently(text: str) -> bool:
    """Whether a text that libyaml reads has something that the pure parser may refuse, or take for something else.

    These are a tab between two tokens, one in a plain scalar or in the header of a block scalar, a ``?`` in a plain
    scalar, a comment that follows the header of a block scalar closely, the tag ``!``, and a byte order mark. (The pure
    parser also takes a tab at the start of a block scalar and unknown directives, which libyaml refuses.)
    """
    if "\ufeff" in text:
        return True
    end = 0
    for token in yaml.scan(text, Loader=SCANNER):
        first, last = token.start_mark.index, token.end_mark.index
        if "\t" in text[end:first] or (isinstance(token, yaml.TagToken) and text[first:last] == "!"):
            return True
        if isinstance(token, yaml.ScalarToken) and token.style not in ("'", '"'):
            written = text[first:last] if token.plain else text[first:last].partition("\n")[0]
            if "\t" in written or ("?" in written if token.plain else CLOSE_COMMENT.match(written)):
                return True
        end = max(end, last)
    return "\t" in text[end:]


def read_elsewhere(text: str) -> Any:
    """Let the pure parser read a text in a process of its own, as it would hold up all requests here.

    :raises TimeoutError: it took too long, or had too little memory.
    """
    command = [sys.executable, "-I", "-c", PURE]
    seconds = min(TIMEOUT, UNTIL.get() - time.monotonic())
    try:
        done = subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE, check=True, timeout=seconds)
    except subprocess.SubprocessError:
        raise TimeoutError from None
    value, line = pickle.loads(done.stdout)  # noqa: S301 - our own program has written it
    return value if line is None else InvalidYAML(line or None)

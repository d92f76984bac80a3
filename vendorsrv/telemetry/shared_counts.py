"""Numbers that several processes count side by side, and that each of them can add up."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import shutil
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from vendorsrv.errors import ConfigError

#: What a number is known by: the same in each process that counts the same.
Key = tuple[str, ...]

SUFFIX: Final = ".counts"
#: The sums of the processes that have ended.
ENDED: Final = "ended"
LOCK: Final = "lock"
NUMBER: Final = "d"
SIZE: Final = 8


class Counts:
    """The numbers of this process: in its own memory, or in a file that the others read while it writes.

    The file is mapped, so that counting costs what it costs in a list (80 ns), and what was counted outlives the
    process, however that ends. The process holds a lock on its file, which the system lets go at its end.

    :ivar values: the numbers; each has one thread that writes it.
    """

    def __init__(self) -> None:
        self.places: dict[Key, int] = {}
        self.values: array[float] | memoryview[float] = array(NUMBER)
        self.file: Path | None = None

    def place(self, key: Key) -> int:
        """Give the index of a number in ``values``; new ones are 0, and can be had until they are shared."""
        if key not in self.places:
            assert isinstance(self.values, array)
            self.places[key] = len(self.values)
            self.values.append(0.0)
        return self.places[key]

    def share(self, directory: Path) -> None:
        """Count in a file of this directory from now on.

        :raises OSError: there is no room for it, or no such directory; nothing has changed.
        """
        packed = pack(self.own())
        descriptor, name = tempfile.mkstemp(dir=directory)
        try:
            # Room that is promised: when a page of a full disk is first written to, the process is killed (SIGBUS).
            os.posix_fallocate(descriptor, 0, len(packed))
            os.pwrite(descriptor, packed, 0)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            whole = memoryview(mmap.mmap(descriptor, len(packed)))  # with a descriptor of its own, and so the lock
            os.rename(name, name + SUFFIX)
        finally:
            os.close(descriptor)
            with suppress(FileNotFoundError):  # it has its new name
                os.unlink(name)
        self.values = whole[-SIZE * len(self.values) :].cast(NUMBER)
        self.file = Path(name + SUFFIX)

    def totals(self) -> tuple[dict[Key, float], dict[Key, float]]:
        """Add up the numbers of the processes that are there, and those of the ones that have ended.

        Reads files, and may wait for another process that does.
        """
        living = self.own()
        ended: dict[Key, float] = {}
        if self.file is None:
            return living, ended
        try:
            with locked(self.file.with_name(LOCK)):
                add_others(self.file, living, ended)
        except OSError:  # somebody has removed the directory
            return self.own(), {}
        return living, ended

    def own(self) -> dict[Key, float]:
        return dict(zip(self.places, self.values, strict=True))


def add_others(own: Path, living: dict[Key, float], ended: dict[Key, float]) -> None:
    """Add what all others have counted; the files of those that have ended become one."""
    before = own.with_name(ENDED)
    if before.exists():
        add(ended, unpack(before.read_bytes()))
    over = []
    for path in set(own.parent.glob(f"*{SUFFIX}")) - {own}:
        with path.open("rb") as file:
            if is_held(file):  # before it is read: whoever ends in between has not counted everything yet
                add(living, unpack(file.read()))
            else:
                add(ended, unpack(file.read()))
                over.append(path)
    if over:
        new = own.with_name(f"{ENDED}.new")
        new.write_bytes(pack(ended))
        new.replace(before)
        for path in over:
            path.unlink()


def add(sums: dict[Key, float], numbers: Mapping[Key, float]) -> None:
    for key, number in numbers.items():
        sums[key] = sums.get(key, 0.0) + number


def pack(numbers: Mapping[Key, float]) -> bytes:
    """Give one line that names the numbers, filled up so that they begin at a multiple of their size; then them."""
    names = json.dumps(list(numbers)).encode()
    padding = b" " * (-(len(names) + 1) % SIZE)
    return names + padding + b"\n" + array(NUMBER, numbers.values()).tobytes()


def unpack(packed: bytes) -> dict[Key, float]:
    names, _, values = packed.partition(b"\n")
    return dict(zip(map(tuple, json.loads(names)), array(NUMBER, values), strict=True))


def is_held(file: IO[bytes]) -> bool:
    """Say whether the process is there whose file it is."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep others from reading while the files of ended processes become one: they would count these twice."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def counting_directory() -> Iterator[Path]:
    """Make a private directory for :meth:`Counts.share`, and remove it at the end.

    :raises ConfigError: there is no place for temporary files.
    """
    try:
        # No TemporaryDirectory: its finalizer would be a forked worker's, too.
        directory = tempfile.mkdtemp(prefix="vendorsrv-")
    except OSError as error:
        raise ConfigError(f"no directory for temporary files: {error.strerror}") from None
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # as long as it holds, systemd-tmpfiles does not tidy up in there
        yield Path(directory)
    finally:
        os.close(descriptor)
        shutil.rmtree(directory, ignore_errors=True)

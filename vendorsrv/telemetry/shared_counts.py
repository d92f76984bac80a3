"""Numbers that several processes count, and of which each process can read the sums."""

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

#: The name of a metric and the values of its labels.
Key = tuple[str, ...]

SUFFIX: Final = ".counts"
#: How the names of servers' directories begin, once they are locked, and before that.
PREFIX: Final = "vendorsrv-metrics-"
NEW_PREFIX: Final = "vendorsrv-new-"
NUMBER: Final = "d"
SIZE: Final = 8


class Counts:
    """The numbers of this process, in its own memory or in a file that the other processes read.

    The file is mapped into memory: counting is as fast as in a list (80 ns), and the numbers survive the process even
    if it is killed. The process holds a lock on its file, which the system releases when the process ends.

    :ivar values: the numbers; only one thread writes each of them.
    """

    def __init__(self) -> None:
        self.indexes: dict[Key, int] = {}
        self.values: array[float] | memoryview[float] = array(NUMBER)
        self.file: Path | None = None

    def index(self, key: Key) -> int:
        """Return the index of a number in ``values``; new numbers, which are 0, can only be added before ``share``."""
        if key not in self.indexes:
            assert isinstance(self.values, array)
            self.indexes[key] = len(self.values)
            self.values.append(0.0)
        return self.indexes[key]

    def share(self, directory: Path) -> None:
        """Move the numbers to a file in this directory, where other processes can read them.

        :raises OSError: the directory does not exist or its disk is full; the numbers stay in memory.
        """
        packed = pack(self.own())
        descriptor, name = tempfile.mkstemp(dir=directory)
        try:
            # Allocate the space: the first write to a mapped page on a full disk kills the process (SIGBUS).
            os.posix_fallocate(descriptor, 0, len(packed))
            os.pwrite(descriptor, packed, 0)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            whole = memoryview(mmap.mmap(descriptor, len(packed)))  # duplicates the descriptor, so the lock is kept
            os.rename(name, name + SUFFIX)
        finally:
            os.close(descriptor)
            with suppress(FileNotFoundError):  # it was renamed
                os.unlink(name)
        self.values = whole[-SIZE * len(self.values) :].cast(NUMBER)
        self.file = Path(name + SUFFIX)

    def totals(self) -> tuple[dict[Key, float], dict[Key, float]]:
        """Return the sums over the running processes and the sums over those that have ended.

        Reads files, and waits while another process does.
        """
        living = self.own()
        ended: dict[Key, float] = {}
        if self.file is None:
            return living, ended
        try:
            with self.file.with_name("lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # without it, a number could be counted twice
                add_others(self.file, living, ended)
        except OSError:  # the directory was removed
            return self.own(), {}
        return living, ended

    def own(self) -> dict[Key, float]:
        return dict(zip(self.indexes, self.values, strict=True))


def add_others(own: Path, living: dict[Key, float], ended: dict[Key, float]) -> None:
    """Add the numbers of all other processes, and merge the files of those that have ended into one with their sums."""
    sums = own.with_name("ended")
    if sums.exists():
        add(ended, unpack(sums.read_bytes()))
    merged = []
    for path in set(own.parent.glob(f"*{SUFFIX}")) - {own}:
        with path.open("rb") as file:
            is_running = is_held(file)  # before reading: a process that ends afterwards could still have counted
            add(living if is_running else ended, unpack(file.read()))
        if not is_running:
            merged.append(path)
    if merged:
        new = sums.with_suffix(".new")
        new.write_bytes(pack(ended))
        new.replace(sums)
        for path in merged:
            path.unlink()


def add(sums: dict[Key, float], numbers: Mapping[Key, float]) -> None:
    for key, number in numbers.items():
        sums[key] = sums.get(key, 0.0) + number


def pack(numbers: Mapping[Key, float]) -> bytes:
    """Return a line with the keys as JSON, padded to a multiple of a number's size, and then the numbers."""
    names = json.dumps(list(numbers)).encode()
    padding = b" " * (-(len(names) + 1) % SIZE)
    return names + padding + b"\n" + array(NUMBER, numbers.values()).tobytes()


def unpack(packed: bytes) -> dict[Key, float]:
    names, _, values = packed.partition(b"\n")
    return dict(zip(map(tuple, json.loads(names)), array(NUMBER, values), strict=True))


def is_held(file: IO[bytes]) -> bool:
    """Whether the process that writes the file is running."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


@contextmanager
def metrics_directory() -> Iterator[Path]:
    """Create a private directory for :meth:`Counts.share`, and remove it at the end, and those of killed servers now.

    :raises ConfigError: the directory for temporary files cannot be written.
    """
    try:
        # Not TemporaryDirectory: its finalizer would run in forked workers, too.
        new = tempfile.mkdtemp(prefix=NEW_PREFIX)
    except OSError as error:
        raise ConfigError(f"cannot create a temporary directory: {error.strerror}") from None
    directory = new.replace(NEW_PREFIX, PREFIX)
    # Workers have it too. While it is locked, neither systemd-tmpfiles nor another server removes the directory.
    descriptor = os.open(new, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        os.rename(new, directory)
        remove_abandoned(Path(directory).parent)
        yield Path(directory)
    finally:
        os.close(descriptor)
        shutil.rmtree(directory, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Remove this user's directories of servers that were killed: those that no process has locked."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):  # locked, another user's, or removed meanwhile
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_uid == os.geteuid():
                    shutil.rmtree(path)
            finally:
                os.close(descriptor)

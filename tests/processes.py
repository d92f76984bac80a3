"""Which processes are there, told by the directory that they have for temporary files."""

from __future__ import annotations

from pathlib import Path


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment that a process was started with; that of a process that is gone is empty."""
    try:
        text = Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return {}
    return dict(entry.partition("=")[::2] for entry in text.split("\0"))


def processes_of(directory: Path) -> list[int]:
    """Return the processes that have this directory for temporary files."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if environment_of(pid).get("TMPDIR") == str(directory)]

"""The files of the policy's rules: read again whenever one was replaced, and missed when one is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from oslo_policy.policy import Enforcer

#: Size, inode, mtime and ctime: one of them differs even if an older file took the place (``mv``, a restored backup).
Stamp = tuple[int, int, int, int]
#: Files of ``policy_dirs`` with other names may be copies of an editor, which go again.
SUFFIXES: Final = {".yaml", ".yml", ".json"}


class RuleFiles:
    """The policy file and those of ``policy_dirs``.

    oslo.policy itself reads a file again only when its mtime grows, and takes one that is gone for an empty one
    (``oslo_policy/_cache_handler.py``), so that the default rules would hold.

    :param on_load: called when all files were read; may refuse the rules with a ValueError.
    """

    def __init__(self, enforcer: Enforcer, on_load: Callable[[], None]) -> None:
        self.enforcer = enforcer
        self.on_load = on_load
        self.loaded: dict[Path, Stamp] | None = None
        self.needed: set[Path] = set()

    def load(self) -> None:
        """Have the enforcer read all files if one has changed, or if they could not be read the last time.

        :raises OSError: a file with rules is gone or empty, or one cannot be read.
        :raises ValueError, TypeError, AttributeError, oslo_config.cfg.Error: one does not map names to rules, or the
            rules are refused.
        """
        while (found := self.look()) != self.loaded:
            self.loaded = None
            self.enforcer.load_rules(force_reload=True)
            self.on_load()
            self.enforcer.use_conf = False  # else it looks at the files itself whenever it enforces a rule
            self.loaded = found
            named = {path for path in found if path.suffix in SUFFIXES or str(path) == self.enforcer.policy_path}
            self.needed = {path for path in named if found[path][0]}

    def look(self) -> dict[Path, Stamp]:
        found: dict[Path, Stamp] = {}
        for path in self.paths():
            with suppress(FileNotFoundError):
                status = path.stat()
                found[path] = status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
                if path.is_dir():
                    raise IsADirectoryError(f"{path} is a directory")
        for path in self.needed:
            if path not in found or not found[path][0]:
                raise FileNotFoundError(f"{path} is gone or empty; put it back, or reload the server to do without it")
        return found

    def paths(self) -> Iterator[Path]:
        conf = self.enforcer.conf
        policy_file = self.enforcer.policy_path or conf.find_file(self.enforcer.policy_file)
        if policy_file:
            yield Path(policy_file)
        for name in conf.oslo_policy.policy_dirs:
            if folder := conf.find_file(name):  # of which oslo.policy reads all files that are not hidden
                yield from (path for path in Path(folder).iterdir() if path.name[0] != "." and not path.is_dir())

"""Check the limit of open files, of which each connection takes one."""

from __future__ import annotations

import resource
from collections.abc import Iterator

from vendorsrv.check.findings import Finding, IniFile
from vendorsrv.settings import GROUP, Settings


def find_in_files(ini: IniFile, settings: Settings) -> Iterator[Finding]:
    """Yield a warning when this process may not open the files that ``max_connections`` needs."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = -(-settings.max_connections * 4 // 3)
    if hard < needed:
        reason = (
            f"with at most {hard} open files a worker has {hard * 3 // 4} connections; "
            f"allow {needed} files (LimitNOFILE= of the unit, ulimit -Hn of a shell)"
        )
        yield ini.warning(reason, GROUP, "max_connections")

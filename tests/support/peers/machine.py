"""A Debian machine that is thrown away: a chroot in namespaces of its own, in which the real cloud-init boots.

What it writes is in memory, its network is a loopback of its own, and its processes and mounts end with the one process
that it is. The host sees nothing of it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support import real_peers as peers

ROOT: Final = Path(__file__).parents[3]
SUITE: Final = "bookworm"
#: What an image of a cloud has; and what a vendor's script can install though the machine has no network.
INSTALLED: Final = ("cloud-init", "iproute2")
DOWNLOADED: Final = ("postfix",)

#: A package may start nothing, neither while the image is made nor while cloud-init installs it.
NO_SERVICES: Final = "#!/bin/sh\nexit 101\n"

#: Runs in namespaces of its own. $1 is the image, $2 the files to copy over it, $3 the program to run inside.
BOOT: Final = """\
set -eu
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
cp -R "$2/." /mnt/root/
mount -t proc proc /mnt/root/proc
mount -t sysfs -o ro sysfs /mnt/root/sys
mount -t devpts devpts /mnt/root/dev/pts
mount -t tmpfs tmpfs /mnt/root/run
cd /mnt/root
exec chroot . /bin/sh -euc "$3"
"""
NAMESPACES: Final = ("--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child")
ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
BUILD_TIMEOUT: Final = 1800
RUN_TIMEOUT: Final = 600


def image() -> Path:
    """Return the folder of the machine's image; it is made once for each list of packages, in a minute or two."""
    if os.geteuid() != 0 or not shutil.which("debootstrap") or not shutil.which("unshare"):
        peers.missing("no machine for cloud-init: this needs root, and Debian's package debootstrap")
    packages = "\n".join([SUITE, *INSTALLED, "", *DOWNLOADED])
    folder = ROOT / ".cache" / "machines" / hashlib.sha256(packages.encode()).hexdigest()[:12]
    if not folder.is_dir():
        new = folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.parent.mkdir(parents=True, exist_ok=True)
        build(new)
        new.rename(folder)
    return folder


def build(folder: Path) -> None:
    """Make the image, and leave its log beside it."""
    with folder.with_suffix(".log").open("wb") as log:

        def run(*command: str) -> None:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=BUILD_TIMEOUT,
                env={**os.environ, **ENVIRONMENT, "DEBIAN_FRONTEND": "noninteractive"},
            )

        run("debootstrap", "--variant=minbase", SUITE, str(folder))
        policy = folder / "usr/sbin/policy-rc.d"
        policy.write_text(NO_SERVICES)
        policy.chmod(0o755)
        install = ("chroot", str(folder), "apt-get", "install", "--yes", "--no-install-recommends")
        run(*install, *INSTALLED)
        run(*install, "--download-only", *DOWNLOADED)


def run(files: Path, program: str) -> str:
    """Start the machine with these files in it, run a shell program there, and return what it prints.

    :raises AssertionError: the program failed; with what it said.
    """
    done = subprocess.run(
        ["unshare", *NAMESPACES, "sh", "-c", BOOT, "machine", str(image()), str(files), program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT,
        check=False,
        env={**ENVIRONMENT},
    )
    assert done.returncode == 0, f"the machine ended with {done.returncode}: {(done.stdout + done.stderr)[-4000:]}"
    return done.stdout


if __name__ == "__main__":
    sys.stdout.write(f"{image()}\n")

"""Run a service of Nova, with the lab's driver put where Nova looks for one: run_nova SERVICE [OPTION ...]."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import nova.virt

import tests.support.cloud.programs.sqlite_transactions  # noqa: F401 -- it listens

nova.virt.__path__.append(str(Path(__file__).with_name("virt")))
service = sys.argv.pop(1)
sys.argv[0] = f"nova-{service}"
importlib.import_module(f"nova.cmd.{service}").main()

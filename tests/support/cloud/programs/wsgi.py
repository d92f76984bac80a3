"""Serve a WSGI application of OpenStack on a loopback port: wsgi MODULE PORT."""

from __future__ import annotations

import importlib
import sys

import waitress

import tests.support.cloud.programs.sqlite_transactions  # noqa: F401 -- it listens

module, port = sys.argv[1:3]
sys.argv[1:] = []  # the applications read their command line
waitress.serve(importlib.import_module(module).application, host="127.0.0.1", port=int(port), threads=8, ident=None)

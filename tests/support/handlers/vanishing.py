"""Ends the process that imports it, without a word."""

import os

os._exit(7)

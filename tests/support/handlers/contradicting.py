"""Declares what cannot be."""

from vendorsrv import Handler


class Contradicting(Handler):
    """Take no time."""

    timeout = 0

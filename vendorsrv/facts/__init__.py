"""What Nova, Glance and Keystone know of an instance, looked up with vendorsrv's own account.

Handlers import the facts from here. Other packages use ``lookups.Lookups`` and ``options``.
"""

from vendorsrv.instance import Facts, Flavor, Image, Project, Server, optional

__all__ = ["Facts", "Flavor", "Image", "Project", "Server", "optional"]

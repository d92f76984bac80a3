"""The mail-server example of Nova's vendordata specification, as a vendorsrv handler."""

import re
import shlex
from importlib import resources
from typing import Final

from oslo_config import cfg

from vendorsrv import CloudConfig, Handler, OnError, Script, VendordataRequest

__all__ = ["MailServer"]

#: What may stand for a host in a mail address; the tenant chose the hostname.
LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
SCRIPT: Final = resources.files(__name__).joinpath("postfix.sh").read_text("utf-8")


class MailServer(Handler):
    """Make an instance a mail server when a mail administrator booted it.

    Its settings stand in ``[handler:mailserver]``. Other instances get ``{}``.
    """

    name = "mailserver"
    pin = True  # who becomes a mail server at boot stays one, and nobody else becomes one later
    on_error = OnError.FAIL  # there is no mail server without its configuration
    options = (
        cfg.HostnameOpt(
            "domain", required=True, sample_default="example.org", help="The mail domain that the instances serve."
        ),
        cfg.HostAddressOpt("relayhost", help="Where they send mail for other domains; none: straight to its host."),
        cfg.StrOpt("role", default="mail-admin", help="The role that makes the booting user a mail administrator."),
        cfg.StrOpt("postmaster", default="root", regex=r"^[\w.@+-]+$", help="Who gets the instance's own mail."),
    )
    cloud_init_keys = ("fqdn",)

    async def handle(self, request: VendordataRequest) -> dict[str, object]:
        """Give the mail server's configuration, as JSON that the instance's own tools read."""
        if self.settings.role not in request.boot_roles:
            return {}
        # Nova may know no hostname; the instance's id makes as good a label, and is never another instance's.
        label = request.hostname or request.instance_id
        return {
            "role": "mail-server",
            "domain": self.settings.domain,
            "hostname": f"{label}.{self.settings.domain}",
            "relayhost": self.settings.relayhost,
        }

    async def cloud_init(self, request: VendordataRequest) -> list[CloudConfig | Script] | None:
        """Install postfix and configure it, in a way that the user's own user-data cannot undo by accident."""
        if self.settings.role not in request.boot_roles:
            return None
        name = request.hostname or ""
        label = name if LABEL.fullmatch(name) else request.instance_id
        hostname = f"{label}.{self.settings.domain}"
        values = {
            "domain": self.settings.domain,
            "hostname": hostname,
            "relayhost": f"[{self.settings.relayhost}]" if self.settings.relayhost else "",
            "postmaster": self.settings.postmaster,
        }
        script = re.sub("@([a-z]+)@", lambda found: shlex.quote(values[found[1]]), SCRIPT)
        return [CloudConfig({"fqdn": hostname}), Script(script, name="postfix")]

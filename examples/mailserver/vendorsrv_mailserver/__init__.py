"""The mail-server example of Nova's vendordata specification, as a vendorsrv handler."""

from oslo_config import cfg

from vendorsrv import Handler, OnError, VendordataRequest

__all__ = ["MailServer"]


class MailServer(Handler):
    """Make an instance a mail server when a mail administrator booted it.

    Its settings stand in ``[handler:mailserver]``. Other instances get ``{}``.
    """

    name = "mailserver"
    pin = True  # who becomes a mail server at boot stays one, and nobody else becomes one later
    on_error = OnError.FAIL  # there is no mail server without its configuration
    options = (
        cfg.HostnameOpt("domain", required=True, help="The mail domain that the instances serve."),
        cfg.HostAddressOpt("relayhost", help="Where they send mail for other domains; none: straight to its host."),
        cfg.StrOpt("role", default="mail-admin", help="The role that makes the booting user a mail administrator."),
    )

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

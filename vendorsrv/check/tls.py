"""Check certificates and keys: whether a server can use them now and next month, and whether Nova trusts them."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vendorsrv.check.findings import Finding, IniFile
from vendorsrv.settings import GROUP, Settings

if TYPE_CHECKING:
    from cryptography import x509

#: Enough time to renew a certificate, by hand or by a program.
SOON: Final = timedelta(days=30)
#: Rounds of a TLS handshake until both sides have received all messages.
ROUNDS: Final = 4


def find_in_tls(ini: IniFile, settings: Settings, now: datetime | None = None) -> Iterator[Finding]:
    """Yield the findings about the TLS files of ``[vendorsrv]``.

    :param now: with a time zone; the current time by default.
    """
    for option, other in (("cert_file", "key_file"), ("key_file", "cert_file"), ("ca_file", "cert_file")):
        if getattr(settings, option) and not getattr(settings, other):
            yield ini.error(f"set without {other}; TLS needs both", GROUP, option)
    if not (settings.cert_file or settings.key_file or settings.ca_file):
        return
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    certificates, problems = load(ini, settings, "cert_file", x509.load_pem_x509_certificates)
    key, key_problems = load(ini, settings, "key_file", lambda pem: load_pem_private_key(pem, None))
    yield from [*problems, *key_problems]
    yield from load(ini, settings, "ca_file", x509.load_pem_x509_certificates)[1]
    if certificates:
        yield from find_by_time(ini, certificates, now or datetime.now(UTC))
    if certificates and key and public_bytes(certificates[0]) != public_bytes(key):
        yield ini.error("not the key of the first certificate in cert_file", GROUP, "key_file")
    if key and readable_by_others(settings.key_file or ""):
        yield ini.warning(f"every user of this machine can read {settings.key_file}", GROUP, "key_file")


def load(ini: IniFile, settings: Settings, option: str, parse: Callable[[bytes], Any]) -> tuple[Any, list[Finding]]:
    path = getattr(settings, option)
    if not path:
        return None, []
    try:
        return parse(Path(path).read_bytes()), []
    except OSError:
        reason = f"{path} does not exist or cannot be read"
    except TypeError:
        reason = f"the key in {path} is encrypted; the server cannot ask for a pass phrase"
    except ValueError:
        reason = f"{path} contains no {'private key' if option == 'key_file' else 'certificate'} in PEM format"
    return None, [ini.error(reason, GROUP, option)]


def find_by_time(ini: IniFile, certificates: list[x509.Certificate], now: datetime) -> Iterator[Finding]:
    first, last = certificates[0].not_valid_before_utc, min(each.not_valid_after_utc for each in certificates)
    if first > now:
        yield ini.error(f"the certificate is not valid before {first:%Y-%m-%d %H:%M} UTC", GROUP, "cert_file")
    if last <= now:
        yield ini.error(f"the certificate expired at {last:%Y-%m-%d %H:%M} UTC", GROUP, "cert_file")
    elif last - now < SOON:
        days = (last - now).days
        yield ini.warning(f"the certificate expires in {days} days, on {last:%Y-%m-%d}", GROUP, "cert_file")


def public_bytes(owner: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    found: bytes = owner.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


def readable_by_others(path: str) -> bool:
    """Whether users other than the owner and the group can read a file."""
    return bool(Path(path).stat().st_mode & stat.S_IROTH)


def refusal(settings: Settings, host: str, ca_bundle: str, client: str | tuple[str, str] | None) -> str | None:
    """Perform the TLS handshake of Nova and the server in memory.

    :param settings: with usable TLS files.
    :param host: the server's name or address in Nova's target.
    :param ca_bundle: a file or a folder of CA certificates that Nova trusts.
    :param client: the files of Nova's client certificate and its key, or of both in one.
    :returns: why one side refuses the other; None when both accept.
    """
    try:
        ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=settings.ca_file)
        ours.load_cert_chain(settings.cert_file or "", settings.key_file)
        ours.verify_mode = ssl.CERT_REQUIRED if settings.ca_file else ssl.CERT_NONE
        folder = Path(ca_bundle).is_dir()
        theirs = ssl.create_default_context(cafile=None if folder else ca_bundle, capath=ca_bundle if folder else None)
        if client:
            theirs.load_cert_chain(*((client,) if isinstance(client, str) else client))
        shake_hands(theirs, ours, host)
    except ssl.SSLError as error:
        return str(getattr(error, "verify_message", error.reason))
    except OSError:
        return "a file that nova.conf names does not exist or cannot be read"
    return None


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(ROUNDS):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue

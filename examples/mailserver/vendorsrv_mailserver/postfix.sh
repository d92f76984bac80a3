#!/bin/sh
# Makes this machine a mail server; cloud-init runs it once, whatever the user's own cloud-config says.
set -eu

DOMAIN=@domain@
MAIL_HOSTNAME=@hostname@
RELAYHOST=@relayhost@
POSTMASTER=@postmaster@

# cloud-init will not run this again: until it has succeeded, each boot does.
AGAIN=/var/lib/cloud/scripts/per-boot/mail-server
mkdir -p "${AGAIN%/*}"
[ "$0" = "$AGAIN" ] || cp -p "$0" "$AGAIN"

# At a first boot another apt may hold dpkg's lock, and the mirror may not be there yet.
export DEBIAN_FRONTEND=noninteractive
apt() {
    apt-get -o DPkg::Lock::Timeout=300 "$@"
}
install() {
    apt install --yes --no-install-recommends postfix
}
tries=30
until command -v postconf >/dev/null || install || { apt update && install; }; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || exit 1
    sleep 10
done

postconf -e \
    "compatibility_level = 3.6" \
    "mydomain = $DOMAIN" \
    "myhostname = $MAIL_HOSTNAME" \
    "myorigin = $DOMAIN" \
    "mydestination = $DOMAIN, $MAIL_HOSTNAME, localhost" \
    "relayhost = $RELAYHOST" \
    "inet_interfaces = all" \
    "mynetworks = 127.0.0.0/8 [::1]/128" \
    "alias_maps = hash:/etc/aliases" \
    "alias_database = hash:/etc/aliases" \
    "smtp_tls_security_level = may" \
    "smtpd_tls_security_level = may"

# The certificate that is there, or one of its own until there is a better one.
CERTIFICATE=/etc/ssl/certs/mail-server.pem
KEY=/etc/ssl/private/mail-server.key
if [ ! -e "$CERTIFICATE" ]; then
    (umask 077 && openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=$MAIL_HOSTNAME" \
        -keyout "$KEY" -out "$CERTIFICATE" 2>/dev/null)
fi
postconf -e "smtpd_tls_cert_file = $CERTIFICATE" "smtpd_tls_key_file = $KEY"

grep -qs '^postmaster:' /etc/aliases || echo "postmaster: root" >>/etc/aliases
grep -qs '^root:' /etc/aliases || [ "$POSTMASTER" = root ] || echo "root: $POSTMASTER" >>/etc/aliases
newaliases

if [ -d /run/systemd/system ]; then
    systemctl enable postfix
    systemctl restart postfix
fi
rm -f "$AGAIN"

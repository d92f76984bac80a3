#!/bin/sh
# Installs the Debian packages that `make` needs and that are missing: debian-packages.sh install|test|cloud [PYTHON]
# It is silent when there is nothing to do, and without root it only says which command to run.
set -eu

group=$1
python=${2:-python3}

# group | package | a command that succeeds when it is not needed | why it is needed
packages="
install | python3-venv | \"$python\" -c 'import ensurepip, venv' | makes .venv
test | memcached | command -v memcached | the tests run caches of their own, and stop, hang and fill them
test | redis-server | command -v redis-server | the tests run caches of their own, and stop, hang and fill them
test | cloud-init | test -d /usr/lib/python3/dist-packages/cloudinit | judges what answers do to an instance
test | debootstrap | command -v debootstrap | makes the chroot in which all stages of cloud-init run
test | wrk | command -v wrk | drives the contenders of the benchmarks
test | valgrind | command -v valgrind | counts the instructions of a request
test | haproxy | command -v haproxy | stands before two hosts, as in a cloud
test | pgbouncer | command -v pgbouncer | stands between the pins and PostgreSQL, as in a cloud
test | iproute2 | command -v ip | makes those hosts: network namespaces
test | rabbitmq-server | command -v rabbitmqctl | carries Nova's notifications, and what its services say to each other
"

missing=
while IFS='|' read -r for_group package present reason; do
    [ "$(echo $for_group)" = "$group" ] || continue
    if ! sh -c "$present" >/dev/null 2>&1; then
        package=$(echo $package)
        echo "Debian package $package is needed:$reason" >&2
        missing="$missing $package"
    fi
done <<TABLE
$packages
TABLE

[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "This is no Debian: install its counterpart of$missing, then run make again." >&2
    exit 1
elif [ "$(id -u)" != 0 ]; then
    echo "Run this as root, then make again: apt-get install$missing" >&2
    exit 1
fi
echo "Installing$missing with apt-get" >&2
export DEBIAN_FRONTEND=noninteractive
# Nothing is wanted but the programs: no service may be started, now (policy-rc.d) or at the next boot (update-rc.d).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
# The program and its library are wanted; a boot of this machine is none of its business.
case "$missing " in
*" cloud-init "*) mkdir -p /etc/cloud && touch /etc/cloud/cloud-init.disabled ;;
esac
apt-get update -qq
# $missing is a list of names.
# shellcheck disable=SC2086
apt-get install -o DPkg::Lock::Timeout=300 -qq --yes --no-install-recommends $missing >/dev/null
for package in $missing; do
    [ ! -e "/etc/init.d/$package" ] || update-rc.d "$package" disable
done

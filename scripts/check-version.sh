#!/bin/sh
# Fails unless the first version in CHANGELOG.md is the one in vendorsrv/__init__.py. A version that is not released yet
# is X.Y.Z.dev0 in the code and "## X.Y.Z (unreleased)" in the changelog.
set -eu

cd "$(dirname "$0")/.."
version=$(sed -n 's/^__version__ *\(: *[A-Za-z]* *\)\{0,1\}= *"\(.*\)"$/\2/p' vendorsrv/__init__.py)
noted=$(sed -n 's/^## \([0-9][^ ]*\) (unreleased)$/\1.dev0/p; s/^## \([0-9][^ ]*\) ([0-9-]*)$/\1/p' CHANGELOG.md | head -n 1)
if [ -z "$version" ] || [ "$version" != "$noted" ]; then
    echo "vendorsrv/__init__.py says version '$version', the first '## VERSION (DATE)' of CHANGELOG.md '$noted'." >&2
    exit 1
fi

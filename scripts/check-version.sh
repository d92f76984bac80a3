#!/bin/sh
# Fails unless the newest version in docs/release-notes.md is the one in vendorsrv/__init__.py.
set -eu

cd "$(dirname "$0")/.."
version=$(sed -n 's/^__version__ *\(: *[A-Za-z]* *\)\{0,1\}= *"\(.*\)"$/\2/p' vendorsrv/__init__.py)
noted=$(sed -n 's/^## \([0-9][^ ]*\).*/\1/p' docs/release-notes.md | head -n 1)
if [ -z "$version" ] || [ "$version" != "$noted" ]; then
    echo "vendorsrv/__init__.py says version '$version', docs/release-notes.md '$noted' (its first '## VERSION')." >&2
    exit 1
fi

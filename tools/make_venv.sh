#!/bin/sh
# make_venv.sh PYTHON FOLDER: a virtual environment, also on a Debian or Ubuntu that lacks python3-venv.
set -eu
python=$1
folder=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Vitruvian needs Python 3.11 or newer; $python is $("$python" --version). Name another: make PYTHON=python3.12 ..." >&2
  exit 1
}
if "$python" -m venv "$folder" 2>/dev/null; then exit 0; fi
rm -rf "$folder"
if command -v apt-get >/dev/null; then
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  echo "this Python cannot make virtual environments; installing python$version-venv" >&2
  $sudo apt-get update -qq
  $sudo apt-get install -y -qq "python$version-venv" >/dev/null
fi
exec "$python" -m venv "$folder"

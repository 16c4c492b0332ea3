#!/usr/bin/env bash
# Builds Google Research Football 2.10.2 into a virtual environment of its own, with this library beside it.
# usage: tools/build_football.sh [FOLDER]    (default: .venv-football)
#
# Needs Debian 12 or a like distribution, its own /usr/bin/python3 (Debian's Boost.Python belongs to that interpreter and
# to no other), and, as root, apt-get: without it the packages below must be there already. Takes about four minutes on
# two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv-football}

packages=(
    cmake build-essential git python3-dev python3-venv
    libgl1-mesa-dev libegl1-mesa-dev
    libsdl2-dev libsdl2-image-dev libsdl2-ttf-dev libsdl2-gfx-dev
    libboost-python-dev libboost-thread-dev libboost-filesystem-dev libboost-system-dev
)

/usr/bin/python3 -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || {
    echo "build_football.sh: /usr/bin/python3 must be 3.11 or later, got $(/usr/bin/python3 --version 2>&1): use Debian 12 or later" >&2
    exit 1
}

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
else
    echo "not root, or no apt-get: going on with what is installed; needed are ${packages[*]}"
fi

/usr/bin/python3 -m venv --clear "$venv"
# Activated, because the engine's build script calls a bare `python3` and expects psutil there.
source "$venv/bin/activate"
pip="python3 -m pip install --quiet --disable-pip-version-check"

# gym 0.26 changed what reset returns, and setuptools 81 dropped the pkg_resources that the build script imports.
$pip "setuptools<81" wheel psutil "gym==0.25.2" "numpy==2.4.6" opencv-python-headless absl-py pygame six scipy
# Without isolation, else the build script does not find psutil; without dependencies, else pip replaces what is above.
$pip --no-build-isolation --no-deps "gfootball==2.10.2"
# This library from its folder, and what its tests need; the engine itself knows nothing of Gymnasium.
$pip -c constraints.txt -e ".[marl]" pytest hypothesis

# numpy 2 has no bool8, which gym 0.25.2 reads when it checks a step; the adapter's tests do the same.
python3 -c 'import numpy; numpy.bool8 = numpy.bool_; import gfootball.env, bagged_envs; print("gfootball is ready")'

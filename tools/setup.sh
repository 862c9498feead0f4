#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Brings a Debian 12 machine to the point where everything builds and runs. Each step looks first, so a second run takes a second.
#   tools/setup.sh            Debian packages, .venv, and the package addnorm in it
#   tools/setup.sh system     only the Debian packages
set -euo pipefail
cd "$(dirname "$0")/.."

system_packages() {
  local wanted missing=()
  mapfile -t wanted < <(grep -v '^#' tools/debian-packages.txt)
  for package in "${wanted[@]}"; do
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  echo "setup: installing ${missing[*]}"
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || { echo "setup: missing Debian packages, and neither root nor sudo: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

python_environment() {
  local stamp=.venv/requirements.stamp
  if cmp -s tools/requirements.txt "$stamp"; then return 0; fi
  echo "setup: Python environment in .venv"
  [[ -x .venv/bin/python ]] || python3 -m venv .venv
  # PyTorch's own index has builds without CUDA, some GB smaller than PyPI's. Where it cannot be reached, what pip finds will do.
  local cpu_index=https://download.pytorch.org/whl/cpu extra=()
  if timeout 5 python3 -c "import urllib.request; urllib.request.urlopen('$cpu_index/torch/', timeout=4)" 2>/dev/null; then
    extra=(--extra-index-url "$cpu_index")
  fi
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r tools/requirements.txt "${extra[@]}"
  cp tools/requirements.txt "$stamp"
}

# Built again when anything that goes into the wheel is newer than the last one.
python_package() {
  local stamp=.venv/addnorm.stamp sources=(CMakeLists.txt pyproject.toml cmake include src doors/torch doors/ascendc)
  [[ -d doors/torch/addnorm ]] || { echo "setup: no doors/torch in this tree, so no Python package"; return 0; }
  if [[ -e $stamp && -z $(find "${sources[@]}" -not -path '*/tests*' -not -name '*.pyc' -not -name __pycache__ -newer "$stamp" -print -quit) ]]; then
    return 0
  fi
  echo "setup: building the Python package"
  touch "$stamp.new"
  # The same compiler and flags as the release preset, so that ccache compiles the core once for both.
  CC=gcc CXX=g++ PATH="$PWD/.venv/bin:$PATH" .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps \
    --config-settings=cmake.define.CMAKE_COMPILE_WARNING_AS_ERROR=ON .
  mv "$stamp.new" "$stamp"
}

system_packages
if [[ ${1:-} != system ]]; then
  python_environment
  python_package
fi

# shellcheck shell=sh
# Functions that the scripts share. Sourced from the root directory of the checkout by scripts that
# run with `set -eu`. POSIX sh: it must work in dash and in the sh of macOS.
#
#   SCAIWAVE_PYTHON   the Python to use, instead of the newest suitable one on PATH
#   SCAIWAVE_VENV     the virtual environment, instead of .venv
#   SCAIWAVE_LOCK     the pinned requirements, instead of scripts/requirements/dev.txt

unset CDPATH PYTHONHOME PYTHONPATH PYTHONSTARTUP DJANGO_SETTINGS_MODULE
# Each process would compile the suite, its packages and the tests again.
unset PYTHONDONTWRITEBYTECODE

say() {
  printf '%s\n' "$*" >&2
}

# fail WHAT HAPPENED, HOW TO FIX IT
fail() {
  say "$1"
  say "$2"
  exit 2
}

# Settings of a real server must not reach tests or the demo.
drop_inherited_settings() {
  for name in $(env | sed -n 's/^\(SCAIWAVE_[A-Za-z0-9_]*\)=.*/\1/p'); do
    case $name in
      SCAIWAVE_PYTHON | SCAIWAVE_VENV | SCAIWAVE_LOCK) ;;
      SCAIWAVE_REQUIRE_SERVICES | SCAIWAVE_DEMO_* | SCAIWAVE_TEST_* | SCAIWAVE_BENCH_*) ;;
      *) unset "$name" ;;
    esac
  done
}

# A name on PATH may be a shim whose Python was removed, or a Python without the modules that create
# a virtual environment, so each candidate is run. Prints the path of the interpreter itself.
try_python() {
  "$1" -I -c '
import sys
if sys.version_info < (3, 11):
    sys.exit(1)
if sys.argv[1] != "uv":
    import ensurepip, venv
print(sys.executable)' "$2" 2>/dev/null </dev/null
}

# Prints the newest suitable Python on PATH. Searches all of PATH, since a broken shim may hide a
# working Python that comes after it.
find_python() {
  for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
    rest=$PATH:
    while [ -n "$rest" ]; do
      directory=${rest%%:*}
      rest=${rest#*:}
      if [ -f "$directory/$name" ] && [ -x "$directory/$name" ]; then
        try_python "$directory/$name" "$1" && return
      fi
    done
  done
  return 1
}

choose_python() {
  if [ -n "${SCAIWAVE_PYTHON-}" ]; then
    try_python "$SCAIWAVE_PYTHON" "$1" || fail \
      "SCAIWAVE_PYTHON=$SCAIWAVE_PYTHON is not a Python 3.11 or later that can create virtual environments." \
      "Set it to another Python, or unset it to use the newest on PATH."
  else
    find_python "$1" || fail \
      "No Python 3.11 or later that can create virtual environments was found on PATH." \
      "Install one (on Debian and Ubuntu: apt install python3 python3-venv), or set SCAIWAVE_PYTHON."
  fi
}

# Prints the stamp of a finished environment: a line for its packages and one for the project.
stamp() {
  "$1" -I -c '
import hashlib, sys
lock, venv = sys.argv[1:]
def digest(name):
    with open(name, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
print(venv, sys.base_prefix, *sys.version_info[:3], digest(lock))
print("project", digest("pyproject.toml"))' "$LOCK" "$VENV" 2>/dev/null </dev/null
}

# Uses the Python of the environment, unless another one is selected.
current_stamp() {
  if [ -n "${SCAIWAVE_PYTHON-}" ]; then
    stamp "$SCAIWAVE_PYTHON"
  else
    stamp "$VENV/bin/python"
  fi
}

is_current() {
  [ -f "$VENV/$STAMP" ] && [ -x "$VENV/bin/scaiwave" ] &&
    "$VENV/bin/python" -c '' 2>/dev/null && [ "$(current_stamp)" = "$(cat "$VENV/$STAMP")" ]
}

parts_are_current() {
  [ -f "$VENV/$STAMP" ] && "$VENV/bin/python" -c '' 2>/dev/null &&
    [ "$(current_stamp | sed -n 1p)" = "$(sed -n 1p "$VENV/$STAMP")" ]
}

# Makes $VENV an empty directory that these scripts own. Never removes anything else.
clear_environment() {
  if [ -e "$VENV" ] && [ ! -f "$VENV/$OURS" ]; then
    fail "$VENV exists and was not made by these scripts." \
      "Remove it, or set SCAIWAVE_VENV to another directory."
  fi
  if [ -e "$VENV" ]; then
    # The mark is removed last, so that an interrupted removal can be continued.
    rm -f "$VENV/$STAMP"
    find "$VENV" -mindepth 1 -maxdepth 1 ! -name "$OURS" -exec rm -rf {} +
  fi
  mkdir -p "$VENV"
  : >"$VENV/$OURS"
}

install_with_uv() {
  python=$(choose_python uv) || exit
  clear_environment
  uv venv --quiet --allow-existing --python "$python" "$VENV" &&
    uv pip install --quiet --python "$VENV/bin/python" --require-hashes -r "$LOCK"
}

install_with_pip() {
  python=$(choose_python venv) || exit
  clear_environment
  "$python" -m venv "$VENV" && keep_only_reach_of_pip &&
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
      --require-hashes -r "$LOCK"
}

# pip settings of the host may define how to reach packages (index, proxy, certificates). Settings of
# where to install them, or which, would break the environment.
keep_only_reach_of_pip() {
  reach=$("$VENV/bin/python" -m pip config list 2>/dev/null | sed -n -E \
    "s/^(global|install|:env:)\.(index-url|extra-index-url|trusted-host|proxy|cert|client-cert|cache-dir|timeout|default-timeout|retries)='([^']*)'\$/\2 \3/p") || reach=
  for name in $(env | sed -n 's/^\(PIP_[A-Z0-9_]*\)=.*/\1/p'); do unset "$name"; done
  while read -r name value; do
    [ -z "$name" ] || export "PIP_$(printf %s "$name" | tr 'a-z-' 'A-Z_')=$(printf '%b' "$value")"
  done <<REACH
$reach
REACH
  export PIP_CONFIG_FILE=/dev/null
}

install_parts() {
  say "Setting up $VENV (takes about half a minute the first time) …"
  if uv --version >/dev/null 2>&1; then
    install_with_uv && return
    say "uv failed; trying pip."
  fi
  install_with_pip || fail "The packages could not be installed into $VENV." \
    "See the messages above, check that the package index can be reached, and run this again."
}

# Without build isolation: the build tools are among the pinned packages.
install_project() {
  if [ -x "$VENV/bin/pip" ]; then
    keep_only_reach_of_pip
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
      --no-deps --no-build-isolation --editable .
  else
    uv pip install --quiet --python "$VENV/bin/python" --no-deps --no-build-isolation --editable .
  fi || fail "The project could not be installed into $VENV." \
    "See the messages above, or remove $VENV and run this again."
}

# Two scripts that run at the same time must not build the same environment. The lock is a directory,
# because creating one is the only atomic step that every sh has.
wait_for_lock() {
  until mkdir "$VENV.lock" 2>/dev/null; do
    [ -d "$VENV.lock" ] || [ -w "$(dirname "$VENV")" ] || fail \
      "The virtual environment can't be created: $(dirname "$VENV") is not writable." \
      "Set SCAIWAVE_VENV to a directory that can be created."
    holder=$(cat "$VENV.lock/pid" 2>/dev/null) || holder=
    sleep 1 # also because a new lock may not yet have its process ID
    if [ -z "$holder" ] || ! kill -0 "$holder" 2>/dev/null; then
      [ "$holder" != "$(cat "$VENV.lock/pid" 2>/dev/null)" ] || rm -rf "$VENV.lock"
    fi
  done
  # Not $$, which is the script's process: this shell may outlive it, and holds the lock.
  (exec sh -c 'echo "$PPID"') >"$VENV.lock/pid"
}

# Creates the environment unless it is up to date. The stamp is written last, so that an interrupted
# set-up starts again. Sets VENV to the absolute path.
set_up() {
  VENV=${SCAIWAVE_VENV:-.venv}
  LOCK=${SCAIWAVE_LOCK:-scripts/requirements/dev.txt}
  STAMP=set-up-finished
  OURS=made-by-scaiwave-scripts
  case $VENV in /*) ;; *) VENV=$PWD/$VENV ;; esac
  if ! is_current; then
    build_environment
  fi
}

# Runs in a subshell, so that its traps don't replace the script's.
build_environment() (
  mkdir -p "$(dirname "$VENV")"
  wait_for_lock
  trap 'rm -rf "$VENV.lock"' EXIT
  trap 'exit 130' INT TERM HUP
  if ! is_current; then
    parts_are_current || install_parts
    rm -f "$VENV/$STAMP"
    install_project
    current_stamp >"$VENV/$STAMP.draft"
    mv "$VENV/$STAMP.draft" "$VENV/$STAMP"
  fi
)

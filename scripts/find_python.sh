#!/bin/sh
# Print the path of a Python that can run carkinetics; say in one sentence what to do if there is none.
#
# A candidate counts only when it runs: version managers put `python3.12` on the PATH even where
# that version is not selected. Versions without pinned packages in constraints.txt are refused.
# `make demo PYTHON=/path/to/python` tries that one only.

covered="3.12 3.13 3.14"
refused=""

# Prints "3.12", or "3.12 <reason why not>"; prints nothing where the candidate does not run.
describe() {
    "$1" - 2>/dev/null <<'PYTHON'
import sys
import sysconfig

reason = ""
if getattr(getattr(sys, "implementation", None), "name", "") != "cpython":
    reason = "not CPython"
elif sysconfig.get_config_var("Py_GIL_DISABLED"):
    reason = "a free-threaded build, for which the pinned packages have no files"
else:
    try:
        import ensurepip
        import venv
    except ImportError:
        reason = "without its venv module (on Debian and Ubuntu: install python%d.%d-venv)" % sys.version_info[:2]
print(("%d.%d " % sys.version_info[:2] + reason).strip())
PYTHON
}

# Prints the path and ends the script if the candidate will do; otherwise remembers why not.
consider() {
    path=$(command -v "$1" 2>/dev/null) || return 0
    answer=$(describe "$path")
    [ -n "$answer" ] || return 0
    version=${answer%% *}
    reason=${answer#"$version"}
    for good in $covered; do
        if [ "$version" = "$good" ] && [ -z "$reason" ]; then
            printf '%s\n' "$path"
            exit 0
        fi
    done
    case "$version" in
        2.* | 3.[0-9] | 3.1[01]) reason=" too old" ;;
        *) reason=${reason:-" newer than the pinned packages cover"} ;;
    esac
    case "$refused" in
        *"$path is"*) ;;
        *) refused="$refused
    $path is Python $version,$reason" ;;
    esac
}

if [ -n "${PYTHON:-}" ]; then
    consider "$PYTHON"
else
    for name in python3.12 python3.13 python3.14 python3; do
        consider "$name"
    done
    for good in $covered; do
        for root in "${PYENV_ROOT:-}" "${HOME:-}/.pyenv" "$(pyenv root 2>/dev/null)"; do
            [ -n "$root" ] || continue
            for path in "$root/versions/$good"*/bin/python; do
                [ -x "$path" ] && consider "$path"
            done
        done
    done
fi

{
    printf '%s' "carkinetics needs Python 3.12, 3.13 or 3.14, and "
    if [ -n "${PYTHON:-}" ]; then
        printf '%s' "PYTHON=$PYTHON is none of them"
    else
        printf '%s' "none was found on this computer"
    fi
    printf '%s\n' ": install one (your system's package manager or \`pyenv install 3.12\` will do) and run the command again, or name one you have with \`make demo PYTHON=/path/to/python3.12\`."
    [ -z "$refused" ] || printf '%s%s\n' "Found, but not usable:" "$refused"
} >&2
exit 1

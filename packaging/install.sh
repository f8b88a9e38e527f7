#!/bin/sh
# Install agentbridge from this checkout for the user who runs it. No root, safe to repeat.
#
# Makes   ~/.local/share/agentbridge/venv             its own Python environment
#         ~/.local/bin/{agentbridged,agentbridgectl,agentbridge-mcp}
#         the service, by `agentbridgectl service install`
#
# PYTHON names the interpreter to build on (3.11 or newer); without it the first good one is taken.
set -eu

source_dir=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
share="$HOME/.local/share/agentbridge"
bin="$HOME/.local/bin"
venv="$share/venv"
programs="agentbridged agentbridgectl agentbridge-mcp"

say() { printf '%s\n' "$*"; }
die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
            >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    die "no Python 3.11 or newer with venv was found; install one (Debian: python3-venv) or set PYTHON"
}

# In a copy: setuptools would leave its build directory in the checkout and, next time, ship from it.
install_package() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT INT TERM
    # -L: the unit and the LaunchAgent are links in the package.
    cp -RL "$source_dir/pyproject.toml" "$source_dir/README.md" "$source_dir/LICENSE" \
        "$source_dir/agentbridged" "$work/"
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet "$work" ||
        die "pip could not install the package; its message is above"
}

link_programs() {
    mkdir -p "$bin"
    for program in $programs; do
        target="$bin/$program"
        if [ -e "$target" ] && [ "$(readlink "$target" || :)" != "$venv/bin/$program" ]; then
            die "$target is not ours; move it away and run this again"
        fi
        ln -sf "$venv/bin/$program" "$target"
    done
}

python=$(find_python)
say "Python:   $python"
install_package
say "Package:  $venv"
link_programs
say "Programs: $bin/{agentbridged,agentbridgectl,agentbridge-mcp}"
said=$("$bin/agentbridgectl" service install) ||
    die "the service is not installed, for the reason above; then: $bin/agentbridgectl service install"
say "Service:  $said"
say ""
say "Next:"
case ":$PATH:" in
*":$bin:"*) ;;
*) say "  put $bin on your PATH" ;;
esac
say "  agentbridgectl service start"
say "  agentbridgectl plugin install        # once, so that Claude Code starts agentbridge-mcp"
say "If it was running already: agentbridgectl reload    # hands over; no session ends"

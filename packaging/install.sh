#!/bin/sh
# Install agentbridge from this checkout for the user who runs it. No root, safe to repeat.
#
# Makes   ~/.local/share/agentbridge/venv             its own Python environment
#         ~/.local/bin/{agentbridged,agentbridgectl,agentbridge-mcp}
#         the systemd user unit, or the LaunchAgent on macOS
#
# PYTHON names the interpreter to build on (3.11 or newer); without it the first good one is taken.
set -eu

source_dir=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
share="$HOME/.local/share/agentbridge"
bin="$HOME/.local/bin"
venv="$share/venv"
programs="agentbridged agentbridgectl agentbridge-mcp"
label=org.agentbridge.agentbridged

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
    cp -R "$source_dir/pyproject.toml" "$source_dir/README.md" "$source_dir/LICENSE" \
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

# A replacement text for sed: its own special characters, and XML's.
quoted() { printf '%s' "$1" | sed -e 's/&/\&amp;/g; s/</\&lt;/g' -e 's/[\\&|]/\\&/g'; }

install_launch_agent() {
    agents="$HOME/Library/LaunchAgents"
    service="$agents/$label.plist"
    mkdir -p "$agents" "$HOME/Library/Logs/agentbridge"
    sed -e "s|@PROGRAM@|$(quoted "$venv/bin/agentbridged")|g" -e "s|@HOME@|$(quoted "$HOME")|g" \
        -e "s|@PATH@|$(quoted "$bin:$PATH")|g" "$source_dir/launchd/$label.plist" >"$service.new"
    chmod 644 "$service.new"
    mv "$service.new" "$service"
    start="launchctl bootstrap gui/$(id -u) '$service'"
    restart="launchctl kickstart -k gui/$(id -u)/$label"
}

install_unit() {
    units="${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user"
    service="$units/agentbridge.service"
    mkdir -p "$units"
    # In a unit "%" begins a specifier, and a path with spaces needs its quotes.
    programs_dir=$(printf '%s' "$venv/bin" | sed -e 's/%/%%/g; s/[\\&|]/\\&/g')
    sed -e "s|^\(Exec[A-Za-z]*\)=/usr/bin/\([a-z]*\)|\1=\"$programs_dir/\2\"|" \
        "$source_dir/systemd/agentbridge.service" >"$service.new"
    mv "$service.new" "$service"
    if command -v systemctl >/dev/null 2>&1; then
        systemctl --user daemon-reload >/dev/null 2>&1 || :
        start="systemctl --user enable --now agentbridge"
        restart="systemctl --user restart agentbridge"
    else
        start="agentbridged                         # there is no systemd here: it runs in a terminal"
        restart="end agentbridged and start it again"
    fi
}

python=$(find_python)
say "Python:   $python"
install_package
say "Package:  $venv"
link_programs
say "Programs: $bin/{agentbridged,agentbridgectl,agentbridge-mcp}"
if [ "$(uname -s)" = Darwin ]; then
    install_launch_agent
else
    install_unit
fi
say "Service:  $service"
say ""
say "Next:"
case ":$PATH:" in
*":$bin:"*) ;;
*) say "  put $bin on your PATH" ;;
esac
say "  $start"
say "  agentbridgectl plugin install        # once, so that Claude Code starts agentbridge-mcp"
say "If it was running already: $restart"

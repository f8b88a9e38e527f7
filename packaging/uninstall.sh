#!/bin/sh
# Remove what install.sh made for this user, and only that. Asks nothing, safe to repeat.
#
# Messages and settings are the user's, not the installation's: they stay, and it says where.
set -eu

share="$HOME/.local/share/agentbridge"
bin="$HOME/.local/bin"
venv="$share/venv"

say() { printf '%s\n' "$*"; }

report() {
    for kept in "$@"; do
        [ ! -e "$kept" ] || say "Kept:    $kept (yours; delete it if you want it gone)"
    done
}

if [ -x "$venv/bin/agentbridgectl" ]; then
    "$venv/bin/agentbridgectl" service uninstall || exit 1
fi
if [ "$(uname -s)" = Darwin ]; then
    report "$HOME/Library/Application Support/agentbridge"
else
    report "${XDG_STATE_HOME:-$HOME/.local/state}/agentbridge" \
        "${XDG_CONFIG_HOME:-$HOME/.config}/agentbridge"
fi
for program in agentbridged agentbridgectl agentbridge-mcp; do
    if [ "$(readlink "$bin/$program" 2>/dev/null || :)" = "$venv/bin/$program" ]; then
        rm -f "$bin/$program"
    fi
done
rm -rf "$venv"
rmdir "$share" 2>/dev/null || :
say "Removed: $venv and its programs in $bin"
say "If the plugin is installed in Claude Code: claude plugin uninstall agentbridge@agentbridge"

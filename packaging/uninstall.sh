#!/bin/sh
# Remove what install.sh made for this user, and only that. Asks nothing, safe to repeat.
#
# While a daemon runs that is not the service's, nothing is removed: a person ends that one first.
# Messages and settings are the user's, not the installation's: they stay, and it says where.
set -eu

share="$HOME/.local/share/agentbridge"
bin="$HOME/.local/bin"
venv="$share/venv"
ctl="$venv/bin/agentbridgectl"
unit="${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/agentbridge.service"
agent="$HOME/Library/LaunchAgents/org.agentbridge.agentbridged.plist"

say() { printf '%s\n' "$*"; }

report() {
    for kept in "$@"; do
        [ ! -e "$kept" ] || say "Kept:    $kept (yours; delete it if you want it gone)"
    done
}

if [ ! -x "$ctl" ]; then
    :
elif "$ctl" --version >/dev/null 2>&1; then
    if ! "$ctl" service uninstall; then
        say "uninstall.sh: nothing was removed, for the reason above" >&2
        exit 1
    fi
else
    say "Broken:  $ctl does not run, so a daemon that runs goes on; end it"
    for left in "$unit" "$agent"; do
        [ ! -e "$left" ] || say "Left:    $left (it starts the daemon; delete it)"
    done
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

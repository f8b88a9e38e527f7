#!/bin/sh
# Remove what install.sh made for this user, and only that. Asks nothing, safe to repeat.
#
# Messages and settings are the user's, not the installation's: they stay, and it says where.
set -eu

share="$HOME/.local/share/agentbridge"
bin="$HOME/.local/bin"
venv="$share/venv"
label=org.agentbridge.agentbridged

say() { printf '%s\n' "$*"; }

remove_launch_agent() {
    service="$HOME/Library/LaunchAgents/$label.plist"
    launchctl bootout "gui/$(id -u)/$label" >/dev/null 2>&1 || :
    rm -f "$service"
    rm -rf "$HOME/Library/Logs/agentbridge"
    set -- "$HOME/Library/Application Support/agentbridge"
    report "$@"
}

remove_unit() {
    units="${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user"
    service="$units/agentbridge.service"
    if [ -f "$service" ]; then
        systemctl --user disable --now agentbridge >/dev/null 2>&1 || :
        rm -f "$service" "$units/default.target.wants/agentbridge.service"
        systemctl --user daemon-reload >/dev/null 2>&1 || :
    fi
    # Only where they are empty: another unit, or the user's own drop-in, keeps them.
    rmdir "$units/default.target.wants" "$units" "${units%/user}" 2>/dev/null || :
    report "${XDG_STATE_HOME:-$HOME/.local/state}/agentbridge" \
        "${XDG_CONFIG_HOME:-$HOME/.config}/agentbridge"
}

report() {
    for kept in "$@"; do
        [ ! -e "$kept" ] || say "Kept:    $kept (yours; delete it if you want it gone)"
    done
}

if [ "$(uname -s)" = Darwin ]; then
    remove_launch_agent
else
    remove_unit
fi
for program in agentbridged agentbridgectl agentbridge-mcp; do
    if [ "$(readlink "$bin/$program" 2>/dev/null || :)" = "$venv/bin/$program" ]; then
        rm -f "$bin/$program"
    fi
done
rm -rf "$venv"
rmdir "$share" 2>/dev/null || :
say "Removed: $service, $venv and its programs in $bin"
say "If the plugin is installed in Claude Code: claude plugin uninstall agentbridge@agentbridge"

#!/bin/bash
# The inner half of tests/lab/machine.py: make a root file system of our own and become its systemd.
#
# Runs as root in new mount, pid, cgroup, uts, ipc (and network) namespaces, at every boot. Takes
# from its environment:
#   NAME            of the machine
#   TREE            the root file system it is a throw-away copy of
#   ROOT, LAYERS    where the copy is mounted; where what is written to it is kept between boots
#   PERSON          the unprivileged user
#   NETWORK         "private" or "host"
#   LINGER          "1": the user's manager runs without a login
#   BINDS           lines SOURCE<TAB>TARGET: directories of other file systems, shown read-only
#   REACHABLE       lines: directories that the user must be able to pass through
set -euo pipefail

private_file_systems() {
    local node
    mount -t proc -o nosuid,nodev,noexec proc "$ROOT/proc"
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$ROOT/sys"
    mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 "$ROOT/sys/fs/cgroup"
    mount -t tmpfs -o mode=755,nosuid,size=64m tmpfs "$ROOT/dev"
    for node in null zero full random urandom tty; do
        : >"$ROOT/dev/$node"
        mount --bind "/dev/$node" "$ROOT/dev/$node"
    done
    mkdir "$ROOT/dev/pts" "$ROOT/dev/shm" "$ROOT/dev/mqueue"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$ROOT/dev/pts"
    ln -s pts/ptmx "$ROOT/dev/ptmx"
    ln -s /proc/self/fd "$ROOT/dev/fd"
    ln -s fd/0 "$ROOT/dev/stdin"
    ln -s fd/1 "$ROOT/dev/stdout"
    ln -s fd/2 "$ROOT/dev/stderr"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$ROOT/dev/shm"
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$ROOT/run"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$ROOT/tmp"
    # A complete proc with nothing mounted over it must exist in this mount namespace: else the
    # kernel refuses one to nested user namespaces, and with it Codex's sandbox. Users cannot see it.
    mkdir -m 0700 "$ROOT/run/.fullproc"
    mkdir "$ROOT/run/.fullproc/proc"
    mount -t proc proc "$ROOT/run/.fullproc/proc"
    # The real machine's kernel settings are not ours to change.
    local fixed
    for fixed in sys sysrq-trigger; do
        [ -e "$ROOT/proc/$fixed" ] || continue
        mount --bind "$ROOT/proc/$fixed" "$ROOT/proc/$fixed"
        mount -o remount,bind,ro,nosuid,nodev,noexec "$ROOT/proc/$fixed"
    done
}

identity() {
    rm -f "$ROOT/etc/machine-id" "$ROOT/var/lib/dbus/machine-id" "$ROOT/etc/nologin"
    tr -d - </proc/sys/kernel/random/uuid >"$ROOT/etc/machine-id"
    echo "$NAME" >"$ROOT/etc/hostname"
    hostname "$NAME"
    grep -qw "$NAME" "$ROOT/etc/hosts" 2>/dev/null || echo "127.0.1.1 $NAME" >>"$ROOT/etc/hosts"
    echo "# nothing but what is mounted already" >"$ROOT/etc/fstab"
}

# At the first boot: no more of a system than logind, D-Bus, a journal and user managers.
configuration() {
    local etc=$ROOT/etc/systemd unit
    rm -rf "$etc/system"
    mkdir -p "$etc/system" "$etc/system.conf.d" "$etc/journald.conf.d"
    cat >"$etc/system/lab.target" <<'UNIT'
[Unit]
Description=All that a user manager needs
Requires=basic.target
Wants=dbus.socket dbus.service systemd-logind.service systemd-user-sessions.service
After=basic.target systemd-logind.service systemd-user-sessions.service
AllowIsolate=yes
UNIT
    ln -s lab.target "$etc/system/default.target"
    # What wants hardware, the real kernel, or a network.
    for unit in \
        apt-daily-upgrade.timer apt-daily.timer console-getty.service dev-hugepages.mount \
        e2scrub_reap.service getty.target ldconfig.service proc-sys-fs-binfmt_misc.automount \
        proc-sys-fs-binfmt_misc.mount sys-fs-fuse-connections.mount sys-kernel-config.mount \
        sys-kernel-debug.mount sys-kernel-tracing.mount systemd-binfmt.service \
        systemd-firstboot.service systemd-hwdb-update.service \
        systemd-journal-catalog-update.service systemd-journald-audit.socket \
        systemd-modules-load.service systemd-pstore.service systemd-random-seed.service \
        systemd-remount-fs.service systemd-sysctl.service systemd-sysusers.service \
        systemd-timesyncd.service systemd-udev-settle.service systemd-udev-trigger.service \
        systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udevd.service \
        systemd-update-done.service tmp.mount; do
        ln -s /dev/null "$etc/system/$unit"
    done
    printf '[Manager]\nShowStatus=no\nLogColor=no\nDefaultTimeoutStopSec=20s\n' \
        >"$etc/system.conf.d/lab.conf"
    printf '[Journal]\n%s\n%s\n%s\n%s\n%s\n' Storage=persistent SplitMode=uid \
        RateLimitIntervalSec=0 ReadKMsg=no Audit=no >"$etc/journald.conf.d/lab.conf"
    mkdir -p "$ROOT/var/log/journal" "$ROOT/var/lib/systemd/linger"
    chgrp systemd-journal "$ROOT/var/log/journal" 2>/dev/null || :
    chmod 2755 "$ROOT/var/log/journal"
    # Images of containers forbid packages' scripts to start services; here they must be able to.
    rm -f "$ROOT/usr/sbin/policy-rc.d"
    chroot "$ROOT" useradd --create-home --shell /bin/bash --uid 4242 --user-group "$PERSON"
    rm -f "$ROOT"/var/lib/systemd/linger/*
    [ "$LINGER" != 1 ] || : >"$ROOT/var/lib/systemd/linger/$PERSON"
}

foreign_directories() {
    local source target directory
    while IFS=$'\t' read -r source target; do
        [ -n "$source" ] || continue
        mkdir -p "$ROOT$target"
        mount --bind "$source" "$ROOT$target"
        mount -o remount,bind,ro "$ROOT$target"
    done <<<"$BINDS"
    while IFS= read -r directory; do
        [ -z "$directory" ] || chmod o+x "$ROOT$directory"
    done <<<"$REACHABLE"
}

mount --make-rprivate /
mkdir -p "$LAYERS/upper" "$LAYERS/work" "$ROOT"
chmod 755 "$LAYERS/upper"
mount -t overlay overlay -o "lowerdir=$TREE,upperdir=$LAYERS/upper,workdir=$LAYERS/work" "$ROOT"
private_file_systems
[ "$NETWORK" = host ] || ip link set lo up
identity
if [ ! -e "$LAYERS/configured" ]; then
    configuration
    : >"$LAYERS/configured"
fi
foreign_directories

mkdir "$ROOT/run/outside"
cd "$ROOT"
pivot_root . run/outside
umount -l /run/outside
rmdir /run/outside

# As containers do: no power over the clock, the kernel, raw devices, audit; nor over the real network.
forbidden=-sys_module,-sys_time,-syslog,-sys_rawio,-mac_admin,-mac_override,-audit_control
forbidden+=,-audit_write,-audit_read,-wake_alarm,-block_suspend,-perfmon,-bpf,-mknod
[ "$NETWORK" != host ] || forbidden+=,-net_admin
exec setpriv --bounding-set "$forbidden" --inh-caps=-all \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    container=lab container_uuid="$(cat /etc/machine-id)" \
    /lib/systemd/systemd --unit=lab.target --log-target=journal-or-kmsg </dev/null >/dev/null 2>&1

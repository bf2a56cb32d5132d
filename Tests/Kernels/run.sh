#!/bin/bash
# The agent on another kernel, booted in QEMU: run.sh REMORA PACKAGE.deb..., Debian's or Ubuntu's linux-image and, where
# they are apart, linux-modules. Ends with 1 unless every check of guest.sh holds.
set -euo pipefail
remora=$1
shift
here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

for package in "$@"; do dpkg-deb -x "$package" "$work/kernel"; done
kernel=$(find "$work/kernel/boot" -name 'vmlinuz-*')
[ -f "$kernel" ] || { echo "$*: no kernel image in there, or several" >&2; exit 2; }

mkdir -p "$root"/{bin,sbin,proc,sys,run,tmp,dev,modules}
add() { # a program and its libraries, at a path of its own
	cp -L "$1" "$root/$2"
	ldd "$1" | grep -o '/[^ ]*' | while read -r library; do cp -L --parents "$library" "$root"; done
}
add "$remora" bin/remora
add "$(readlink -f "$(command -v ip)")" sbin/ip
add "$(command -v curl)" bin/curl
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -sf busybox "$root/bin/$applet"; done
rm -f "$root/bin/ip"
install -m 755 "$here/guest.sh" "$root/init"
for module in 1:llc 2:stp 3:bridge 4:veth; do # in the order of their needs; absent: built in
	file=$(find "$work/kernel" -name "${module#*:}.ko*" | head -n 1)
	case $file in
	*.xz) xz -dc "$file" ;;
	*.zst) zstd -qdc "$file" ;;
	*.ko) cat "$file" ;;
	*) continue ;;
	esac >"$root/modules/${module/:/-}.ko"
done
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initramfs"

# QEMU 7.2 emulates cmpxchg16b with wrong flags, on which a kernel's slab allocator stumbles: it does without.
timeout 600 qemu-system-x86_64 -accel tcg -m 1500 -nographic -no-reboot -kernel "$kernel" \
	-initrd "$work/initramfs" -append "console=ttyS0 quiet panic=-1 clearcpuid=cx16" </dev/null >"$work/log" 2>&1 || true
checks=$(tr -d '\r' <"$work/log" | grep -a '^check ' || true)
echo "${kernel##*/vmlinuz-}"
echo "$checks"
if grep -q 'failed$' <<<"$checks" || ! grep -q '^check end$' <<<"$checks"; then
	cat "$work/log" >&2
	exit 1
fi

#!/usr/bin/env bash
# Installs what Remora is built, shown and tested with. Says what it installs; does nothing where all is there.
set -euo pipefail

build=(libbpf-dev libelf-dev zlib1g-dev libmnl-dev libxml2-dev pkg-config)
lab=(iproute2 procps bpftool qemu-system-x86 linux-image-cloud-amd64 busybox-static
	containernetworking-plugins iptables etcd-server curl ethtool nftables wrk nginx-light iperf3 cpio zstd clang-format
	zookeeper bind9 bind9-utils avahi-daemon dbus python3-venv)
# What packages of the lab would start on this machine, now and whenever it boots. The tests start their own.
services=(etcd-server:etcd nginx-light:nginx bind9:named avahi-daemon:avahi-daemon.socket avahi-daemon:avahi-daemon)

missing=()
for package in "${build[@]}" "${lab[@]}"; do
	dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done

# invoke-rc.d asks this program before it starts anything: 101 means no.
policy=/usr/sbin/policy-rc.d
allow_starts() {
	rm -f "$policy"
	[ ! -e "$policy.before-remora" ] || mv "$policy.before-remora" "$policy"
}
forbid_starts() {
	[ ! -e "$policy" ] || mv "$policy" "$policy.before-remora"
	trap allow_starts EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
}

[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "not root: cannot install ${missing[*]} (run: sudo make deps)" >&2
	# without the headers nothing can be built; the rest is only for the demo and the network tests
	for package in "${build[@]}"; do
		[[ " ${missing[*]} " != *" $package "* ]] || exit 1
	done
	exit 0
fi
echo "installing from Debian: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
forbid_starts
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
for entry in "${services[@]}"; do
	[[ " ${missing[*]} " != *" ${entry%%:*} "* ]] || systemctl disable --now "${entry#*:}" 2>/dev/null || true
done

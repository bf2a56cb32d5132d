#!/bin/sh
# The first process of a lab guest. Its settings come on the kernel's command line (lab.name, lab.address, lab.gateway,
# lab.etcd), orders one a line on the second serial port, each answered there with one line: "ok ..." or "failed ...".
export PATH=/bin:/usr/bin:/usr/sbin LD_LIBRARY_PATH=/lib
control=/dev/ttyS1

settings() {
	for word in $(cat /proc/cmdline); do
		case $word in
		lab.*=*)
			key=${word%%=*}
			eval "lab_${key#lab.}=\${word#*=}"
			;;
		esac
	done
	self=${lab_address%/*}
}

start_network() {
	for module in /modules/*.ko; do
		insmod "$module"
	done
	hostname "$lab_name"
	ip link set lo up
	[ -z "$lab_address" ] || ip address add "$lab_address" dev eth0
	ip link set eth0 up
	[ -z "$lab_gateway" ] || ip route add default via "$lab_gateway"
}

write_files() {
	mkdir -p /www/cgi-bin /run /tmp /var/log /dev/shm /etc
	echo root:x:0:0:root:/:/bin/sh >/etc/passwd
	echo root:x:0: >/etc/group
	echo "$lab_name" >/www/index.html
	cat >/www/cgi-bin/who <<-'PAGE'
		#!/bin/sh
		printf 'Content-Type: text/plain\r\n\r\n%s sees %s\n' "$(hostname)" "$REMOTE_ADDR"
	PAGE
	cat >/bin/put <<-'PROGRAM'
		#!/bin/sh
		# put HOST PORT PATH BODY: one HTTP request; ends well if its answer is 200.
		printf 'PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' \
			"$3" "$1" "${#4}" "$4" | nc -w 10 "$1" "$2" | grep -q ' 200 '
	PROGRAM
	chmod 755 /www/cgi-bin/who /bin/put
}

# etcd PATH JSON: one call of etcd's JSON gateway; its answer on standard output.
etcd() {
	wget -q -O - --post-data "$2" "http://$lab_etcd/v3/$1"
}

encoded() {
	printf %s "$1" | base64 -w 0
}

# register NAME PORT TTL: a lease of TTL seconds, a key under it, and a keep-alive every third of it.
register() {
	key=$(encoded "/services/$1/$lab_name")
	value=$(encoded "{\"Name\":\"$1\",\"Address\":\"$self\",\"Port\":$2}")
	lease=$(etcd lease/grant "{\"TTL\":\"$3\"}" | sed -n 's/.*"ID":"\([0-9]*\)".*/\1/p')
	[ -n "$lease" ] || return 1
	etcd kv/put "{\"key\":\"$key\",\"value\":\"$value\",\"lease\":\"$lease\"}" >/dev/null || return 1
	pause=$(($3 / 3))
	[ "$pause" -gt 0 ] || pause=1
	(while sleep "$pause"; do etcd lease/keepalive "{\"ID\":\"$lease\"}"; done) >/dev/null 2>&1 &
	echo $! >"/run/$1.keeper"
	echo "$lease" >"/run/$1.lease"
}

# silence NAME: no more keep-alives; the lease lapses by itself.
silence() {
	kill "$(cat "/run/$1.keeper")"
	rm "/run/$1.keeper"
}

deregister() {
	silence "$1"
	etcd kv/deleterange "{\"key\":\"$(encoded "/services/$1/$lab_name")\"}" >/dev/null &&
		etcd lease/revoke "{\"ID\":\"$(cat "/run/$1.lease")\"}" >/dev/null
}

obey() {
	case $1 in
	serve) httpd -p "$2" -h /www ;;
	register) register "$2" "$3" "$4" ;;
	silence) silence "$2" ;;
	deregister) deregister "$2" ;;
	write) file=$2 && shift 2 && echo "$*" >>"$file" ;;
	start) shift && ("$@" >/dev/ttyS0 2>&1 </dev/null &) ;;
	run) shift && "$@" >/dev/ttyS0 2>&1 ;;
	poweroff) poweroff -f ;;
	*) return 2 ;;
	esac
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
settings
start_network
write_files
stty -F "$control" raw -echo
exec 3<>"$control"
echo "ok ready" >&3
while read -r line <&3; do
	set -- $line
	if obey "$@"; then echo "ok $line" >&3; else echo "failed $line" >&3; fi
done

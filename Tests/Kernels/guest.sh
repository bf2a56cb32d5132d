#!/bin/sh
# What runs in the guest: a NIC, a client and a server in namespaces, and the agent between them. Each line that begins
# with "check" is one thing seen; the last one is "check end".
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
for module in /modules/*.ko; do insmod "$module"; done
ip() { /sbin/ip "$@"; } # not busybox's, which knows no namespaces
within() { name=$1; shift; /sbin/ip netns exec "$name" "$@"; }
remora() { within nic /bin/remora "$@"; }
check() { what=$1; shift; if "$@"; then echo "check $what: ok"; else echo "check $what: failed"; fi; }

ip link set lo up
for name in nic client server; do
	ip netns add $name
	ip -n $name link set lo up
done
ip -n nic link add br0 type bridge
ip -n nic link set br0 up
for side in client:up0:10.88.0.11 server:vm1:10.88.1.1; do
	name=${side%%:*} port=${side#*:} address=${side##*:}
	port=${port%:*}
	ip -n nic link add $port type veth peer name eth0 netns $name
	ip -n nic link set $port master br0 up
	ip -n $name address add $address/16 dev eth0
	ip -n $name link set eth0 up
done
mkdir /tmp/pages
echo from-the-server >/tmp/pages/index.html
within server busybox httpd -p 80 -h /tmp/pages

page() { [ "$(within client curl --silent --max-time 20 "http://$1/")" = from-the-server ]; }
proxied() { remora get services --socket /tmp/socket | grep -q ' live .* 1/1 '; }
counted() { ! remora status --socket /tmp/socket -o json | grep -q uncounted; }
vip() { remora get services --socket /tmp/socket -o json | grep -o '10\.88\.255\.[0-9]*' | head -n 1; }
until_true() {
	for _ in $(seq 120); do
		"$@" && return 0
		sleep 0.5
	done
	return 1
}

for forwarding in redirect switch; do
	cat >/tmp/remora.yaml <<-END
		node: trial
		mode: enforce
		forwarding: $forwarding
		state: /tmp/state-$forwarding
		socket: /tmp/socket
		ports:
		  - {match: "up*", role: uplink, answerARP: true}
		  - {match: "vm*", role: vm}
		probe: {http: {ports: [80]}}
		networks:
		  - {name: default, id: 0, vips: 10.88.255.0/24}
	END
	cat >/tmp/service.yaml <<-END
		kind: Service
		name: web
		instances: [{address: 10.88.1.1, port: 80}]
		runsIn: vm
	END
	check "$forwarding: doctor" remora doctor --config /tmp/remora.yaml
	within nic /bin/remora agent --config /tmp/remora.yaml &
	check "$forwarding: the agent answers" until_true test -S /tmp/socket
	remora apply -f /tmp/service.yaml --socket /tmp/socket
	check "$forwarding: a proxy" until_true proxied
	check "$forwarding: what the kernel drops is counted" counted
	check "$forwarding: a page by the VIP" page "$(vip)"
	check "$forwarding: a page by the server's own address" page 10.88.1.1
	remora get ports --socket /tmp/socket
	check "$forwarding: detach" remora detach --all --socket /tmp/socket
	wait
done
echo "check end"
poweroff -f

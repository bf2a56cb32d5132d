"""DNS-SD over multicast by zeroconf: probed, announced and taken back with a goodbye. There is no server."""

import socket

from zeroconf import IPVersion, ServiceInfo, Zeroconf

from talk import say, task, wait_for

task = task()
kind = f"_{task.service}._tcp.local."
info = ServiceInfo(
    kind, f"One.{kind}", addresses=[socket.inet_aton(task.address)], port=task.port, server="zero-host.local.",
    properties={"path": "/"})
client = Zeroconf(interfaces=[task.address], ip_version=IPVersion.V4Only)
client.register_service(info)
say("registered")
wait_for("look up")
client.get_service_info("_billing._tcp.local.", "One._billing._tcp.local.", timeout=1)
say("looked up")
wait_for("deregister")
client.unregister_service(info)
say("gone")
wait_for("close")
client.close()

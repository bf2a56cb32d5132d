"""DNS by dnspython: updates with SRV and A records, signed, over UDP; deleted again over TCP."""

import dns.query
import dns.rcode
import dns.resolver
import dns.tsigkeyring
import dns.update

from talk import say, task, wait_for

task = task()
zone = "svc.example"
keyring = dns.tsigkeyring.from_text({"lab-key": task.extra[0]})


def update():
    return dns.update.UpdateMessage(zone, keyring=keyring, keyname="lab-key", keyalgorithm="hmac-sha256")


def send(message, by):
    answer = by(message, task.server, timeout=10)
    assert answer.rcode() == dns.rcode.NOERROR, dns.rcode.to_text(answer.rcode())


message = update()
message.add(f"{task.service}-host", 120, "A", task.address)
message.add(f"_{task.service}._tcp", 120, "SRV", f"0 5 {task.port} {task.service}-host.{zone}.")
send(message, dns.query.udp)
say("registered")
wait_for("look up")
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers = [task.server]
resolver.resolve("_billing._tcp." + zone, "SRV", raise_on_no_answer=False)
say("looked up")
wait_for("deregister")
message = update()
message.delete(f"_{task.service}._tcp", "SRV")
message.delete(f"{task.service}-host", "A")
send(message, dns.query.tcp)
say("gone")

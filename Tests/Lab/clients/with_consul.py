"""Consul by py-consul: a service with a TTL check, a look-up, and the end."""

import consul

from talk import say, task, wait_for

task = task()
client = consul.Consul(host=task.server)
check = consul.Check.ttl(task.extra[0] + "s")
client.agent.service.register(
    task.service, service_id=task.service + "-1", address=task.address, port=task.port, tags=["live"], check=check)
client.agent.check.ttl_pass(f"service:{task.service}-1")
say("registered")
wait_for("look up")
client.catalog.service("billing")
say("looked up")
wait_for("deregister")
client.agent.service.deregister(task.service + "-1")
say("gone")

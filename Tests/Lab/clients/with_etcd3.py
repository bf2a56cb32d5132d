"""etcd's version 3 over gRPC by etcd3: a key on a lease. What ends it is the lease's revocation or the key's deletion."""

import json

import etcd3

from talk import say, task, wait_for

task = task()
client = etcd3.client(host=task.server)
lease = client.lease(int(task.extra[0]))
key = f"/services/{task.service}/1"
client.put(key, json.dumps({"Address": task.address, "Port": task.port}), lease=lease)
lease.refresh()
say("registered")
wait_for("look up")
list(client.get_prefix("/services/billing/"))
say("looked up")
wait_for("delete")
client.delete(key)
say("deleted")
wait_for("put again")
client.put(key, json.dumps({"Address": task.address, "Port": task.port}), lease=lease)
say("put again")
wait_for("revoke")
lease.revoke()
say("gone")

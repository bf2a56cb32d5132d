"""ZooKeeper by kazoo: an ephemeral node with Curator's data. It ends by its deletion, or with its session."""

import json

from kazoo.client import KazooClient

from talk import say, task, wait_for

task = task()
client = KazooClient(hosts=f"{task.server}:2181", timeout=float(task.extra[0]))
client.start()
path = f"/services/{task.service}"
data = json.dumps({
    "name": task.service, "id": "1", "address": task.address, "port": task.port, "sslPort": None, "payload": None,
    "serviceType": "DYNAMIC"}).encode()
client.create(f"{path}/1", data, ephemeral=True, makepath=True)
say("registered")
wait_for("look up")
client.ensure_path("/services/billing")
client.get_children("/services/billing")
say("looked up")
wait_for("delete")
client.delete(f"{path}/1")
say("deleted")
wait_for("create again")
client.create(f"{path}/", data, ephemeral=True, sequence=True)
say("created again")
wait_for("close")
client.stop()
say("gone")

"""etcd's version 2, whose own API is HTTP with forms: a key with a time to live, renewed, then deleted."""

import json

import requests

from talk import say, task, wait_for

task = task()
session = requests.Session()
key = f"http://{task.server}:2379/v2/keys/services/{task.service}/1"
value = json.dumps({"Address": task.address, "Port": task.port})
session.put(key, data={"value": value, "ttl": task.extra[0]}).raise_for_status()
session.put(key, data={"ttl": task.extra[0], "refresh": "true", "prevExist": "true"}).raise_for_status()
say("registered")
wait_for("deregister")
session.delete(key).raise_for_status()
say("gone")

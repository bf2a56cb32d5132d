"""Nacos over HTTP, as its versions 1 and 2 speak it, by nacos-sdk-python 1: registered, a beat, and taken back."""

import nacos

from talk import say, task, wait_for

task = task()
client = nacos.NacosClient(f"{task.server}:8848", namespace="public")
client.add_naming_instance(task.service, task.address, task.port, metadata={"zone": "a"})
client.send_heartbeat(task.service, task.address, task.port)
say("registered")
wait_for("look up")
client.list_naming_instance("billing")
say("looked up")
wait_for("deregister")
client.remove_naming_instance(task.service, task.address, task.port)
say("gone")

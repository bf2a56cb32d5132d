"""Eureka by py_eureka_client: registered, renewed every second, looked up, and cancelled."""

import py_eureka_client.eureka_client as eureka

from talk import say, task, wait_for

task = task()
eureka.init(
    eureka_server=f"http://{task.server}:8761/eureka", app_name=task.service, instance_host=task.address,
    instance_ip=task.address, instance_port=task.port, renewal_interval_in_secs=1, duration_in_secs=int(task.extra[0]))
say("registered")
wait_for("deregister")
eureka.stop()
say("gone")

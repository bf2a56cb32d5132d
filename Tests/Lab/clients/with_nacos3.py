"""Nacos over gRPC by nacos-sdk-python 3: its instances hang on the connection, and a health check renews them."""

import asyncio

from v2.nacos import (
    ClientConfigBuilder, DeregisterInstanceParam, ListInstanceParam, NacosNamingService, RegisterInstanceParam)

from talk import say, task, wait_for

task = task()


async def main():
    builder = ClientConfigBuilder().server_address(f"{task.server}:8848").log_level("ERROR")
    builder = builder.log_dir(task.extra[0]).cache_dir(task.extra[0])
    naming = await NacosNamingService.create_naming_service(builder.build())
    loop = asyncio.get_running_loop()

    async def wait(word):
        await loop.run_in_executor(None, wait_for, word)

    await naming.register_instance(
        RegisterInstanceParam(service_name=task.service, ip=task.address, port=task.port, ephemeral=True))
    say("registered")
    await wait("look up")
    await naming.list_instances(ListInstanceParam(service_name="billing", subscribe=False, healthy_only=True))
    say("looked up")
    await wait("deregister")
    await naming.deregister_instance(
        DeregisterInstanceParam(service_name=task.service, ip=task.address, port=task.port, ephemeral=True))
    say("deregistered")
    await wait("register again")
    await naming.register_instance(
        RegisterInstanceParam(service_name=task.service, ip=task.address, port=task.port, ephemeral=True))
    say("registered again")
    await wait("shut down")
    await naming.shutdown()
    say("gone")


asyncio.run(main())

"""NATS by nats-py: a micro service, which has a name and an id and no port, and another that asks who there is."""

import asyncio

import nats
from nats.micro import add_service

from talk import say, task, wait_for

task = task()


async def answer(request):
    await request.respond(b"yes")


async def main():
    client = await nats.connect(f"nats://{task.server}:4222")
    service = await add_service(client, name=task.service, version="1.0.0", metadata={"zone": "a"})
    await service.add_endpoint(name="ask", handler=answer)
    await client.flush()
    asker = await nats.connect(f"nats://{task.server}:4222")
    await asker.request(f"$SRV.INFO.{task.service}", b"", timeout=5)
    say("registered")
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, wait_for, "deregister")
    await service.stop()
    await client.close()
    await asker.close()
    say("gone")


asyncio.run(main())

"""Nacos's gRPC side for clients that only want to be told yes: nacos3.py ADDRESS. It keeps nothing."""

import asyncio
import json
import sys

import grpc
from google.protobuf.any_pb2 import Any
from v2.nacos.transport.grpcauto.nacos_grpc_service_pb2 import Metadata, Payload

FIELDS = {
    "ServerCheckRequest": {"connectionId": "lab-1", "supportAbilityNegotiation": False},
    "InstanceRequest": {"type": "registerInstance"},
    "QueryServiceRequest": {"serviceInfo": {"name": "billing", "groupName": "DEFAULT_GROUP", "hosts": []}},
    "SubscribeServiceRequest": {"serviceInfo": {"name": "billing", "groupName": "DEFAULT_GROUP", "hosts": []}},
}


async def answer(request, context):
    kind = request.metadata.type
    fields = dict(FIELDS.get(kind, {}))
    if kind == "InstanceRequest":
        fields["type"] = json.loads(request.body.value)["type"]
    fields |= {"resultCode": 200, "errorCode": 0, "success": True}
    metadata = Metadata(type=kind.replace("Request", "Response"), clientIp=sys.argv[1])
    return Payload(metadata=metadata, body=Any(value=json.dumps(fields).encode()))


async def listen(requests, context):
    """The stream by which a server would ask its client: it never does, and ends when the client goes."""
    async for _ in requests:
        pass
    return
    yield


async def main():
    server = grpc.aio.server()
    messages = {"request_deserializer": Payload.FromString, "response_serializer": Payload.SerializeToString}
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler(
            "Request", {"request": grpc.unary_unary_rpc_method_handler(answer, **messages)}),
        grpc.method_handlers_generic_handler(
            "BiRequestStream", {"requestBiStream": grpc.stream_stream_rpc_method_handler(listen, **messages)}),
    ))
    server.add_insecure_port(f"{sys.argv[1]}:9848")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


asyncio.run(main())

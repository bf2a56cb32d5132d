"""Consul, Eureka, Nacos and UDDI for clients that only want to be told yes: registry.py KIND ADDRESS. It keeps nothing."""

import http.server
import json
import re
import sys
import uuid

EMPTY_APPS = '<applications><versions__delta>1</versions__delta><apps__hashcode></apps__hashcode></applications>'


def consul(method, path, body):
    return 200, "application/json", "[]" if method == "GET" else ""


def eureka(method, path, body):
    if method == "GET":
        return 200, "application/xml", EMPTY_APPS
    return (204 if method == "POST" else 200), None, ""


def nacos(method, path, body):
    if "/beat" in path:
        return 200, "application/json", json.dumps(
            {"clientBeatInterval": 5000, "code": 10200, "lightBeatEnabled": False})
    if method == "GET":
        return 200, "application/json", json.dumps({"name": "DEFAULT_GROUP@@billing", "hosts": []})
    return 200, "text/plain", "ok"


def uddi(method, path, body):
    keys = iter(lambda: str(uuid.uuid4()).upper(), None)
    service = re.search(r"<businessService.*</businessService>", body, re.DOTALL)
    if service:
        key = next(keys)
        text = re.sub(r'serviceKey=""', f'serviceKey="{key}"', service.group())
        text = re.sub(r'bindingKey=""', lambda _: f'bindingKey="{next(keys)}"', text)
        told = f'<serviceDetail generic="2.0" xmlns="urn:uddi-org:api_v2" operator="lab">{text}</serviceDetail>'
    elif "find_service" in body:
        told = '<serviceList generic="2.0" xmlns="urn:uddi-org:api_v2" operator="lab"><serviceInfos/></serviceList>'
    else:
        told = ('<dispositionReport generic="2.0" xmlns="urn:uddi-org:api_v2" operator="lab"><result errno="0">'
                '<errInfo errCode="E_success"/></result></dispositionReport>')
    envelope = '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>' + told + '</Body></Envelope>'
    return 200, "text/xml; charset=utf-8", envelope


KINDS = {"consul": (consul, 8500), "eureka": (eureka, 8761), "nacos": (nacos, 8848), "uddi": (uddi, 8080)}


def handler(answer):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def handle_all(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            status, kind, text = answer(self.command, self.path, body)
            self.send_response(status)
            if kind:
                self.send_header("Content-Type", kind)
            self.send_header("X-Consul-Index", "1")
            if status != 204:
                self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = do_DELETE = handle_all

    return Handler


answer, port = KINDS[sys.argv[1]]
server = http.server.ThreadingHTTPServer((sys.argv[2], port), handler(answer))
print("ready", flush=True)
server.serve_forever()

"""UDDI version 2 by plain SOAP, for which nobody keeps a client: a service with a binding, and its deletion."""

import re

import requests

from talk import say, task, wait_for

task = task()
session = requests.Session()
ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>'
    '{}</Body></Envelope>')


def call(path, body):
    answer = session.post(
        f"http://{task.server}:8080/uddi/{path}", data=ENVELOPE.format(body).encode(),
        headers={"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'})
    answer.raise_for_status()
    return answer.text


saved = call(
    "publish",
    '<save_service generic="2.0" xmlns="urn:uddi-org:api_v2"><authInfo>lab</authInfo>'
    '<businessService serviceKey="" businessKey="9AD0E4A0-1B6C-11D5-9A0B-0004AC49CC1E">'
    f'<name>{task.service}</name><bindingTemplates><bindingTemplate bindingKey="" serviceKey="">'
    f'<accessPoint URLType="http">http://{task.address}:{task.port}/</accessPoint>'
    '<tModelInstanceDetails/></bindingTemplate></bindingTemplates></businessService></save_service>')
key = re.search(r'serviceKey="([^"]+)"', saved).group(1)
say("registered")
wait_for("look up")
call("inquiry", '<find_service generic="2.0" xmlns="urn:uddi-org:api_v2"><name>billing</name></find_service>')
say("looked up")
wait_for("deregister")
call(
    "publish",
    '<delete_service generic="2.0" xmlns="urn:uddi-org:api_v2"><authInfo>lab</authInfo>'
    f'<serviceKey>{key}</serviceKey></delete_service>')
say("gone")

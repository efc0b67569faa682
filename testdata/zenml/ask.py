"""Asks a ZenML server on loopback.

    python ask.py URL GET PATH      what it answers
    python ask.py URL key           the key of a new service account, made as the user default
"""

import json
import sys
import urllib.parse
import urllib.request


def ask(url, method="GET", token=None, **sent):
    """sent: form= or body=, as JSON."""
    headers, data = {}, None
    if token:
        headers["Authorization"] = "Bearer " + token
    if "form" in sent:
        data = urllib.parse.urlencode(sent["form"]).encode()
    if "body" in sent:
        data, headers["Content-Type"] = json.dumps(sent["body"]).encode(), "application/json"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data=data, method=method, headers=headers), timeout=60) as answer:
        return answer.read().decode()


def key(url):
    token = json.loads(ask(url + "/api/v1/login", "POST", form={"username": "default", "password": ""}))["access_token"]
    account = json.loads(ask(url + "/api/v1/service_accounts", "POST", token, body={"name": "builder", "active": True}))["id"]
    made = json.loads(ask(url + "/api/v1/service_accounts/" + account + "/api_keys", "POST", token, body={"name": "builder"}))
    return (made.get("body") or made)["key"]


if __name__ == "__main__":
    print(key(sys.argv[1]) if sys.argv[2] == "key" else ask(sys.argv[1] + sys.argv[3]))

#!/usr/bin/env python3
"""A package index that has one version of each project that a list names, and sends for all others to PyPI.

    pinned.py LIST ADDRESS_FILE

LIST has NAME==VERSION lines. It listens on a free port of loopback and writes its address, http://127.0.0.1:PORT/simple,
to ADDRESS_FILE. For requirements that pip's resolver would try versions of for hours on the whole of PyPI.
"""

import html
import http.server
import json
import os
import re
import ssl
import sys
import urllib.request

UPSTREAM = "https://pypi.org/simple"


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path):
    with open(path, encoding="utf-8") as file:
        lines = [line.split("#")[0].strip() for line in file]
    return {normal(name): version for name, version in (line.split("==") for line in lines if line)}


def version_of(project, filename):
    """The version in the name of a wheel or of a source distribution."""
    if filename.endswith(".whl"):
        return filename.split("-")[1]
    stem = re.sub(r"\.(tar\.gz|zip)$", "", filename)
    return stem[len(project) + 1:]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    versions = {}
    trust = None

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        project = normal(self.path.strip("/").split("/")[-1])
        if project not in self.versions:
            return self.answer(302, Location="%s/%s/" % (UPSTREAM, project))
        ask = urllib.request.Request("%s/%s/" % (UPSTREAM, project), headers={"Accept": "application/vnd.pypi.simple.v1+json"})
        with urllib.request.urlopen(ask, context=self.trust) as got:
            files = json.load(got)["files"]
        rows = [
            '<a href="%s#sha256=%s" data-requires-python="%s"%s>%s</a>'
            % (f["url"], f["hashes"]["sha256"], html.escape(f.get("requires-python") or ""),
               ' data-core-metadata="true"' if f.get("core-metadata") else "", f["filename"])
            for f in files
            if version_of(project, f["filename"]) == self.versions[project]
        ]
        if not rows:
            print("pinned.py: no %s %s" % (project, self.versions[project]), file=sys.stderr)
        self.answer(200, ("<!DOCTYPE html><html><body>\n%s\n</body></html>\n" % "\n".join(rows)).encode(), **{"Content-Type": "text/html"})


def main(versions, address_file):
    Handler.versions = pins(versions)
    Handler.trust = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with open(address_file + ".new", "w", encoding="utf-8") as file:
        file.write("http://127.0.0.1:%d/simple\n" % server.server_address[1])
    os.rename(address_file + ".new", address_file)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

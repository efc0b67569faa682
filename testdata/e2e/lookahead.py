"""An index whose pages wait for one another, for lookahead.sh: who asks for one after the other gets none.

    lookahead.py ADDRESS REQUESTS

It serves on loopback until it is ended; its address is written to a file, and every request is added to another. Below
/together the pages of what is asked for are answered once all of them are asked for, and so are those of what these depend
on; some answers of metadata fail the first time. Below /plain all is answered at once.
"""
import hashlib
import http.server
import sys
import threading

from requirements import normal, wheel

WAIT = 30  # seconds after which a page is answered all the same, and "alone" is written down; pip waits for longer
ROOTS = {"alpha", "beta", "gamma", "delta"}
NEEDED = {"one", "two"}  # gamma's are known later, since its metadata fails
MISSING, CUT = "gamma-1.0", "delta-1.0"  # whose metadata fails the first time
WHEELS = [
    wheel("alpha", "1.0", requires=["one"]),
    wheel("alpha", "2.0", requires=["one"]),  # the best, until beta's wish is known
    wheel("beta", "1.0", requires=["alpha<2", "two"]),
    wheel("gamma", "1.0", requires=["three"]),
    wheel("delta", "1.0"),
    wheel("one", "1.0"), wheel("two", "1.0"), wheel("two", "2.0"), wheel("three", "1.0"),
]


def metadata(name, data):
    import io
    import zipfile
    stem = "-".join(name.split("-")[:2])
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        return z.read(f"{stem}.dist-info/METADATA")


class Index(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files, requests = {}, None
    changed, asked = threading.Condition(), set()

    def log_message(self, *_):
        pass

    def do_GET(self):
        with self.changed:
            again = self.path in self.asked
            self.asked.add(self.path)
            print(self.path, file=self.requests, flush=True)
            self.changed.notify_all()
        _, world, kind, name, *_ = (self.path + "//").split("/")
        if kind == "simple":
            if world == "together":
                self.meet(name)
            return self.answer(self.page(name), "text/html")
        body = self.files.get(name)
        if world == "together" and name.endswith(".metadata") and not again:
            if name.startswith(MISSING):
                body = None
            if name.startswith(CUT):
                return self.answer(body, "text/plain", len(body) // 2)
        return self.answer(body, "application/octet-stream")

    def meet(self, name):
        """Wait for requests of the other pages."""
        for these in (ROOTS, NEEDED):
            pages = {f"/together/simple/{n}/" for n in these}
            if name in these:
                with self.changed:
                    if not self.changed.wait_for(lambda: pages <= self.asked, WAIT):
                        print("alone", self.path, file=self.requests, flush=True)

    def page(self, name):
        rows = [f'<a href="../../files/{n}#sha256={hashlib.sha256(data).hexdigest()}" data-core-metadata="true">{n}</a>'
                for n, data in WHEELS if normal(n.split("-")[0]) == name]
        return ("<!DOCTYPE html><html><body>" + "\n".join(rows) + "</body></html>").encode() if rows else None

    def answer(self, body, kind, sent=None):
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write((body or b"")[:sent])
        if sent is not None:
            self.close_connection = True


def main(address, requests):
    for name, data in WHEELS:
        Index.files[name], Index.files[name + ".metadata"] = data, metadata(name, data)
    with open(requests, "a", encoding="utf-8") as Index.requests:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
        server.daemon_threads = True
        with open(address, "w", encoding="utf-8") as file:
            print(f"http://127.0.0.1:{server.server_port}", file=file)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

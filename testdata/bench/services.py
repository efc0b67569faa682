"""What runs beside the builders: a registry, a proxy in front of it that counts bytes, and a package index."""
import fcntl
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

from common import HERE, HOST, INDEX, INDEX_PORT, PORT, REGISTRY, WORK, program


class Proxy:
    """Forwards TCP to the registry inside the kernel and counts the bytes of both directions."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = {"up": 0, "down": 0, "connections": 0}

    def pump(self, source, sink, key):
        reader, writer = os.pipe()
        fcntl.fcntl(writer, 1031, 1 << 20)  # F_SETPIPE_SZ
        try:
            while got := os.splice(source.fileno(), writer, 1 << 20):
                with self.lock:
                    self.counts[key] += got
                while got:
                    got -= os.splice(reader, sink.fileno(), got)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for s in (source, sink):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        finally:
            os.close(reader)
            os.close(writer)

    def serve_one(self, client):
        with client, socket.create_connection((HOST, PORT + 1)) as server:
            for s in (client, server):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self.pump, args=(server, client, "down"), daemon=True)
            back.start()
            self.pump(client, server, "up")
            back.join()

    def run(self):
        proxy = self

        class Counters(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                with proxy.lock:
                    body = json.dumps(proxy.counts).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        control = http.server.ThreadingHTTPServer((HOST, PORT + 2), Counters)
        threading.Thread(target=control.serve_forever, daemon=True).start()
        listener = socket.create_server((HOST, PORT), backlog=256)
        while True:
            client, _ = listener.accept()
            self.counts["connections"] += 1
            threading.Thread(target=self.serve_one, args=(client,), daemon=True).start()


def counters():
    with urllib.request.urlopen(f"http://{HOST}:{PORT + 2}/") as r:
        return json.load(r)


def wait_for(url, process, seconds=300):
    end = time.time() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except OSError:
            if process.poll() is not None or time.time() > end:
                raise
            time.sleep(0.1)


def serve(wheels):
    """Start the three; what is returned is to be given to stop."""
    for d in ("run", "log", "registry", "state"):
        os.makedirs(f"{WORK}/{d}", exist_ok=True)
    config = f"{WORK}/run/registry.yml"
    with open(config, "w") as f:
        f.write(f"version: 0.1\nlog: {{level: error}}\n"
                f"storage: {{filesystem: {{rootdirectory: {WORK}/registry}}, delete: {{enabled: true}}}}\n"
                f"http: {{addr: '{HOST}:{PORT + 1}'}}\n")
    started = []
    for name, argv, url in (
        ("registry", [program("BENCH_REGISTRY", "docker-registry"), "serve", config], f"http://{HOST}:{PORT + 1}/v2/"),
        ("proxy", [sys.executable, f"{HERE}/bench.py", "proxy"], f"http://{REGISTRY}/v2/"),
        ("index", [sys.executable, f"{HERE}/index.py", wheels, "--port", str(INDEX_PORT)], INDEX),
    ):
        with open(f"{WORK}/log/{name}.log", "wb") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        started.append(process)
        wait_for(url, process)
    return started


def stop(started):
    for process in started:
        end(process.pid)


def end(pid, seconds=20):
    """Stop one process that was started here."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            return
        until = time.time() + seconds
        while time.time() < until:
            try:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    return
            except ChildProcessError:
                if not os.path.exists(f"/proc/{pid}"):
                    return
            time.sleep(0.05)

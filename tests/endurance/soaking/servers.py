"""Servers under test: tintype with its settings, and the object store that one of them reads."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request

TOKEN = "soak-token-of-sixteen-bytes"

SETTINGS = """
[server]
listen = "127.0.0.1:0"
[source]
{source}
[cache]
dir = "{cache}"
max_bytes = "60MiB"
max_files = 20_000
min_free = "100MiB"
# full within minutes, so that what grows later is a leak
memory = "2MiB"
[limits]
memory = "512MiB"
queue = 64
deadline = "30s"
[security]
admin_token = "{token}"
isolation = "{isolation}"
[dialects]
bases = ["https://www.example.com"]
[dialects.imgproxy]
mount = "/imgproxy"
[dialects.thumbor]
mount = "/thumbor"
unsafe = true
[dialects.next]
mount = "/_next/image"
[dialects.ipx]
mount = "/_ipx"
[dialects.cloudflare]
mount = "/cdn-cgi/image"
[dialects.wsrv]
mount = "/wsrv"
[dialects.imgix]
mount = "/imgix"
[presets]
card = "width=320&height=200&fit=cover"
"""


class Server:
    """One tintype, with its settings in a file, so that SIGHUP reads them again."""

    def __init__(self, name, program, place, source, isolation):
        self.name = name
        self.file = place / f"{name}.toml"
        self.log = place / f"{name}.log"
        text = SETTINGS.format(source=source, cache=place / f"{name}-cache", token=TOKEN, isolation=isolation)
        self.file.write_text(text)
        with open(self.log, "wb") as log:
            command = [program, "serve", "--config", str(self.file)]
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        self.port = self.wait_for_port()

    def wait_for_port(self):
        for _ in range(600):
            for line in self.log.read_text(errors="replace").splitlines():
                if "listening on http://" in line:
                    return int(line.rstrip("/").rsplit(":", 1)[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"{self.name} does not start:\n{self.log.read_text(errors='replace')}")

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def purge(self, path):
        address = f"http://127.0.0.1:{self.port}/-/purge?path={path}"
        request = urllib.request.Request(address, method="POST", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def metrics(self):
        """Sums of all metrics by name."""
        found = {}
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/metrics", timeout=60) as response:
            for line in response.read().decode().splitlines():
                if line and not line.startswith("#"):
                    name, value = line.rsplit(" ", 1)
                    name = name.split("{", 1)[0]
                    found[name] = found.get(name, 0.0) + float(value)
        return found

    def pids(self):
        """The service and its worker processes."""
        pid = self.process.pid
        children = []
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                children += [int(child) for child in (task / "children").read_text().split()]
        return [pid, *children]

    def stop(self):
        """Ends it as a service manager does; its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def free_ports(count):
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


class ObjectStore:
    """SeaweedFS with one bucket, as `tests/cluster/install` installs it."""

    KEY, SECRET = "tintypekey", "tintypesecret123"

    def __init__(self, program, place):
        self.place = place
        place.mkdir()
        rights = {"actions": ["Admin", "Read", "Write", "List", "Tagging"], "name": "tintype"}
        rights["credentials"] = [{"accessKey": self.KEY, "secretKey": self.SECRET}]
        (place / "s3.json").write_text(json.dumps({"identities": [rights]}))
        parts = ("s3", "master", "volume", "filer")
        ports = dict(zip([f"{part}.port{kind}" for part in parts for kind in ("", ".grpc")], free_ports(8)))
        self.port, self.filer = ports["s3.port"], ports["filer.port"]
        command = [program, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={place}", "-filer", "-s3"]
        command += ["-s3.config=s3.json", "-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += [f"-filer.localSocket={place}/filer.sock", "-master.volumeSizeLimitMB=64", "-volume.max=50"]
        command += [f"-{name}={port}" for name, port in ports.items()]
        with open(place / "log", "wb") as log:
            self.process = subprocess.Popen(command, cwd=place, stdout=log, stderr=log)
        self.put("ready", b"")

    def put(self, name, body):
        """Stores an object through the filer, which serves the same files."""
        address = f"http://127.0.0.1:{self.filer}/buckets/tintype/{urllib.request.quote(name)}"
        for attempt in range(120):
            try:
                request = urllib.request.Request(address, data=body, method="PUT")
                urllib.request.urlopen(request, timeout=60).close()
                return
            except OSError as error:
                if attempt == 119 or self.process.poll() is not None:
                    raise SystemExit(f"the object store: {error}; see {self.place}/log") from error
                time.sleep(0.5)

    def source(self):
        return (
            f'bucket = "s3://tintype"\nendpoint = "http://127.0.0.1:{self.port}"\n'
            f'access_key = "{self.KEY}"\nsecret_key = "{self.SECRET}"\nrevalidate = "5s"'
        )

    def stop(self):
        self.process.terminate()
        self.process.wait()

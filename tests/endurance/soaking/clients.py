"""Clients of the soak: each thread sends one request after the other, of all the kinds that a server meets."""

import hashlib
import random
import socket
import threading
import time

ACCEPTS = {
    "chromium": "image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "firefox": "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "webkit": "image/webp,image/avif,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "old": "image/webp,*/*",
    "curl": "*/*",
}
FORMATS = ["webp", "jpeg", "auto", "auto", "avif", "png"]
# requests that are answered with an error by design, and its status
REFUSED = [
    ("/photos/missing.jpg?width=100", 404),
    ("/photos/../photos/rocket.jpg", 404),
    ("/.hidden.jpg", 404),
    ("/photos/rocket.jpg?width=0", 400),
    ("/photos/rocket.jpg?width=1&w=2", 400),
    ("/photos/rocket.jpg?fit=none", 400),
    ("/photos/rocket.jpg?expires=1", 410),
    ("/photos/rocket.jpg?s=AAAA&width=50", 403),
]


class Answers:
    """Statuses of all answers, and the bodies that must be equal whenever and from whichever server they come."""

    def __init__(self):
        self.lock = threading.Lock()
        self.statuses, self.kinds, self.wrong, self.bodies = {}, {}, [], {}

    def count(self, kind, status):
        with self.lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def error(self, message):
        with self.lock:
            self.wrong.append(message)

    def compare(self, target, accept, body):
        digest = hashlib.blake2b(body, digest_size=16).digest()
        with self.lock:
            known = self.bodies.setdefault((target, accept), digest)
            if known != digest:
                self.wrong.append(f"{target} for {accept}: two bodies")


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


def receive(connection, limit=None, delay=0.0):
    """One response; `None` after `limit` bytes, and where the connection ends early."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return None
        data += part
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    status, length = int(lines[0].split()[1]), int(headers.get("content-length", 0))
    body = bytearray(body)
    while len(body) < length and status != 304:
        if limit is not None and len(body) >= limit:
            return None
        if delay:
            time.sleep(delay)
        part = connection.recv(4096 if delay else 262_144)
        if not part:
            return None
        body += part
    return Response(status, headers, bytes(body))


class Client(threading.Thread):
    """Sends requests until the deadline."""

    def __init__(self, number, ports, originals, answers, deadline):
        super().__init__(daemon=True)
        self.random, self.ports, self.answers, self.deadline = random.Random(number), ports, answers, deadline
        self.photographs, self.others, self.large = originals

    def run(self):
        kinds = [
            (self.hot, 500), (self.new, 180), (self.other, 70), (self.foreign, 80), (self.conditional, 60),
            (self.range, 30), (self.head, 20), (self.abort, 25), (self.slow, 6), (self.half_closed, 15),
            (self.refused, 40), (self.large_original, 1),
        ]  # fmt: skip
        calls, weights = zip(*kinds)
        while time.monotonic() < self.deadline:
            call = self.random.choices(calls, weights)[0]
            try:
                call(call.__name__)
            except OSError as error:
                self.answers.error(f"{call.__name__}: {error!r}")

    def exchange(self, target, accept="curl", method="GET", headers="", port=None, **how):
        port = port or self.random.choice(self.ports)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            head = f"{method} {target} HTTP/1.1\r\nHost: www.example.com\r\nAccept: {ACCEPTS[accept]}\r\n"
            connection.sendall(f"{head}Connection: close\r\n{headers}\r\n".encode())
            if how.pop("half_close", False):
                connection.shutdown(socket.SHUT_WR)
            return receive(connection, **how)

    def whole(self, kind, target, accept="curl", **how):
        """A GET whose body is compared; a 503 is an answer too."""
        response = self.exchange(target, accept, **how)
        if response is None:
            return self.answers.error(f"{kind}: {target} was cut off")
        self.answers.count(kind, response.status)
        if response.status == 200:
            self.answers.compare(target, accept, response.body)
        elif response.status != 503:
            self.answers.error(f"{kind}: {target}: {response.status} {response.body[:200]!r}")
        return response

    def hot_target(self):
        name, width = self.random.choice(self.photographs), self.random.choice((320, 480, 640))
        return f"/{name}?width={width}&format={self.random.choice(('webp', 'auto'))}", self.random.choice(list(ACCEPTS))

    def hot(self, kind):
        self.whole(kind, *self.hot_target())

    def new(self, kind):
        name, width = self.random.choice(self.photographs), self.random.randint(40, 700)
        target = f"/{name}?width={width}&format={self.random.choice(FORMATS)}"
        more = ["", "", "&fit=cover&height=200", "&blur=2", "&preset=card", "&dpr=1.5", "&position=smart&height=90&fit=cover"]
        self.whole(kind, target + self.random.choice(more), self.random.choice(list(ACCEPTS)))

    def other(self, kind):
        """Any file, hostile ones too: a picture or a refusal, always the same."""
        target = f"/{self.random.choice(self.others)}?width={self.random.choice((60, 200))}"
        target += self.random.choice(("&format=webp", "&format=auto", "&format=json", "&format=png", ""))
        response = self.exchange(target)
        if response is None:
            return self.answers.error(f"{kind}: {target} was cut off")
        self.answers.count(kind, response.status)
        if response.status == 200:
            self.answers.compare(target, "curl", response.body)
        elif response.status not in (413, 415, 422, 503, 504):
            self.answers.error(f"{kind}: {target}: {response.status} {response.body[:200]!r}")

    def foreign(self, kind):
        name, width = self.random.choice(self.photographs), self.random.choice((64, 256, 384, 640))
        self.whole(kind, self.random.choice((
            f"/imgproxy/_/rs:fit:{width}:{width}/plain/local:///{name}@webp",
            f"/thumbor/unsafe/{width}x0/filters:quality(70):format(webp)/{name}",
            f"/_ipx/w_{width},f_webp/{name}",
            f"/cdn-cgi/image/width={width},format=auto/{name}",
            f"/wsrv/?url=www.example.com/{name}&w={width}&output=webp",
            f"/imgix/{name}?w={width}&auto=format",
            f"/_next/image?url=%2F{name.replace('/', '%2F')}&w={width}&q=75",
        )))  # fmt: skip

    def conditional(self, kind):
        target, accept = self.hot_target()
        first = self.whole(kind, target, accept)
        if first and first.status == 200:
            second = self.exchange(target, accept, headers=f"If-None-Match: {first.headers['etag']}\r\n")
            status = second.status if second else 0
            self.answers.count(kind, status)
            if status not in (304, 503):
                self.answers.error(f"{kind}: {target}: {status} for its own ETag")

    def range(self, kind):
        target, accept = self.hot_target()
        port = self.random.choice(self.ports)
        whole = self.whole(kind, target, accept, port=port)
        if whole and whole.status == 200:
            start = self.random.randrange(len(whole.body))
            part = self.exchange(target, accept, headers=f"Range: bytes={start}-\r\n", port=port)
            self.answers.count(kind, part.status if part else 0)
            if not part or part.status != 503 and (part.status != 206 or part.body != whole.body[start:]):
                self.answers.error(f"{kind}: {target}: other bytes from {start}")

    def head(self, kind):
        target, accept = self.hot_target()
        port = self.random.choice(self.ports)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            text = f"HEAD {target} HTTP/1.1\r\nHost: a\r\nAccept: {ACCEPTS[accept]}\r\nConnection: close\r\n\r\n"
            connection.sendall(text.encode())
            answer = b""
            while part := connection.recv(65536):
                answer += part
        self.answers.count(kind, int(answer.split()[1]))
        if not answer.endswith(b"\r\n\r\n"):
            self.answers.error(f"{kind}: {target}: a body")

    def abort(self, kind):
        name, width = self.random.choice(self.photographs), self.random.randint(40, 700)
        self.exchange(f"/{name}?width={width}&format=avif", limit=self.random.choice((0, 1000)))
        self.answers.count(kind, "aborted")

    def slow(self, kind):
        self.whole(kind, "/photos/large-12mp.jpg", delay=0.01, port=self.ports[0])

    def half_closed(self, kind):
        self.whole(kind, *self.hot_target(), half_close=True)

    def refused(self, kind):
        target, status = self.random.choice(REFUSED)
        response = self.exchange(target)
        self.answers.count(kind, response.status if response else 0)
        if not response or response.status != status:
            self.answers.error(f"{kind}: {target}: {response and response.status}, expected {status}")

    def large_original(self, kind):
        self.whole(kind, f"/{self.large}?width={self.random.choice((200, 400, 800))}&format=webp")

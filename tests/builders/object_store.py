"""An S3 over real HTTP, a network line to it that can be cut, and users who may do less than everything."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import urllib.request
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from infra.daemon import Daemon, free_port
from libs.wire.places import Place, open_place

KEYS = ("anybody", "secret")
POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": %s, "Resource": "*"}]}'


class ObjectStore:
    """moto's S3, in a process of its own: what it holds ends with it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._line = Line(self.port)
        self.endpoint = f"http://127.0.0.1:{self._line.port}"
        argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._daemon = Daemon("moto", argv, os.environ, folder / "moto.log", self._answers)

    def start(self) -> None:
        self._daemon.start()
        self._line.mend()

    def stop(self) -> None:
        self._line.cut()
        self._daemon.stop()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/moto-api/", timeout=2.0) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except OSError:
            return False

    def new_bucket(self) -> str:
        """An address of its own: `s3://bucket/prefix`."""
        bucket = f"bucket-{uuid.uuid4().hex[:10]}"
        self.client("s3").create_bucket(Bucket=bucket)
        return f"s3://{bucket}/an/archive"

    def client(self, service: str) -> Any:
        """A plain client of the store that no cut line and no check of keys keeps out."""
        import boto3  # loads slowly, and every process that collects tests loads this module

        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=KEYS[0],
            aws_secret_access_key=KEYS[1],
        )

    def environment(self, keys: tuple[str, str] = KEYS, endpoint: str | None = None) -> dict[str, str]:
        """What a process is told that uses the store."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": keys[0],
            "AWS_SECRET_ACCESS_KEY": keys[1],
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def cut(self) -> None:
        """Refuse connections from now on, and drop those that there are."""
        self._line.cut()

    def mend(self) -> None:
        self._line.mend()

    def cut_after(self, number: int) -> None:
        """Cut the line once it has carried so many more bytes to the store, in the middle of whatever that is."""
        self._line.left = number

    def hang(self) -> None:
        """Take connections and answer nothing, until `wake`."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._daemon._process is not None
        os.kill(self._daemon._process.pid, number)

    def check_keys(self) -> None:
        """From now on only users that were made may do something, and only what they may."""
        address = f"http://127.0.0.1:{self.port}/moto-api/reset-auth"
        request = urllib.request.Request(address, b"0", {"Content-Type": "text/plain"}, method="POST")
        with urllib.request.urlopen(request, timeout=5.0) as answer:
            assert answer.status == HTTPStatus.OK

    def new_user(self, *actions: str) -> tuple[str, str]:
        """The keys of one who may do these, as `s3:GetObject`."""
        iam, name = self.client("iam"), uuid.uuid4().hex
        iam.create_user(UserName=name)
        listed = ", ".join(f'"{action}"' for action in actions)
        iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=POLICY % f"[{listed}]")
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]


class Line:
    """Carries bytes between its own port and another one of this machine, while it is not cut."""

    def __init__(self, to: int) -> None:
        self.port, self._to = free_port(), to
        self.left: int | None = None  # bytes that may still pass before it cuts itself
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._guard = threading.Lock()

    def mend(self) -> None:
        self.left = None
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        with self._guard:
            ends, self._listener = [*filter(None, [self._listener]), *self._open], None
            self._open.clear()
        for end in ends:
            _hang_up(end)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            with self._guard:
                self._open |= {near, far}
            for source, sink, passes in ((near, far, self._passes), (far, near, len)):
                threading.Thread(target=self._carry, args=(source, sink, passes), daemon=True).start()

    def _passes(self, data: bytes) -> int:
        """How many of these bytes go through."""
        if self.left is None:
            return len(data)
        through = min(self.left, len(data))
        self.left -= through
        return through

    def _carry(self, source: socket.socket, sink: socket.socket, passes: Callable[[bytes], int]) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                through = passes(data)
                sink.sendall(data[:through])
                if through < len(data):
                    self.cut()
        for end in (source, sink):
            _hang_up(end)
            with self._guard:
                self._open.discard(end)


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@dataclass(frozen=True, slots=True)
class Spot:
    """Somewhere an archive may lie, and what a process is told to find it."""

    address: str
    environment: dict[str, str]

    @property
    def place(self) -> Place:
        return open_place(self.address, self.environment)

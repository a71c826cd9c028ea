"""A local PostgreSQL server: one folder, one port, one superuser with a password, on this machine alone."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infra.daemon import Daemon, port_is_taken
from infra.place import ServerProblem, check_port, check_version
from infra.postgres.programs import PROGRAMS, fetch_programs, postgres_version

USER, PASSWORD, DATABASE = "platform", "platform", "journal"
SERVANT = "nobody"  # who runs it when we are root, whom PostgreSQL refuses
START_SECONDS = 60.0
LEAVE_SECONDS = 10.0
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """Where a server keeps its data, and its port."""

    folder: Path
    port: int
    programs: Path = PROGRAMS

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    def url(self, database: str = DATABASE) -> str:
        """As the services are told; `postgres` is the database that is always there."""
        return f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"


class PostgresServer(Daemon):
    """A server of this process's own. Its `start` raises `ServerProblem`, `MavenProblem` or `DaemonFailed`."""

    def __init__(self, place: PostgresPlace) -> None:
        self.place = place
        super().__init__(
            "postgres", server_argv(place), server_env(), place.log, lambda: answers(place.port), START_SECONDS
        )

    def start(self) -> None:
        prepare(self.place)
        super().start()

    def stop(self, seconds: float = 20.0) -> None:
        """Ends its sessions and stops; SIGTERM alone would wait for every client to leave."""
        if self._process is not None and self.is_running():
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        super().stop(seconds)

    def kill(self) -> None:
        """As a crash would; its own children see that and leave the port within moments."""
        super().kill()
        limit = time.monotonic() + LEAVE_SECONDS
        while port_is_taken(self.place.port) and time.monotonic() < limit:
            time.sleep(0.02)


def prepare(place: PostgresPlace) -> None:
    """Fetch the programs, check folder and port, make a cluster with the database in a new folder. Repeatable."""
    fetch_programs(place.programs)
    check_version(place.folder, "postgres", postgres_version().split(".")[0])
    check_port(place.port, "postgres")
    if is_root():
        check_reach(place)
    if not (place.data / "PG_VERSION").exists():
        make_cluster(place)


def make_cluster(place: PostgresPlace) -> None:
    place.data.mkdir(mode=0o700, exist_ok=True)
    own(place.data)
    with tempfile.NamedTemporaryFile("w", prefix="postgres-") as password:
        password.write(PASSWORD)
        password.flush()
        own(Path(password.name))
        run(
            place,
            *("initdb", "-D", str(place.data.resolve()), "-U", USER, f"--pwfile={password.name}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
        )
    with (place.data / "postgresql.conf").open("a") as settings:
        settings.write("".join(f"{name} = {value}\n" for name, value in SETTINGS.items()))
    run(
        place, "postgres", "--single", "-D", str(place.data.resolve()), "postgres", said=f"CREATE DATABASE {DATABASE}\n"
    )


SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "shared_buffers": "32MB",
    "max_connections": 60,
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "lc_messages": "'C'",
    "log_min_messages": "warning",
}


def run(place: PostgresPlace, program: str, *arguments: str, said: str = "") -> None:
    argv = [*as_servant(), str(place.programs / "bin" / program), *arguments]
    done = subprocess.run(argv, env=server_env(), cwd="/", input=said, capture_output=True, text=True)
    if done.returncode != 0:
        raise ServerProblem(f"{program} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def server_argv(place: PostgresPlace) -> list[str]:
    """The command line of a prepared server."""
    program = str(place.programs.resolve() / "bin" / "postgres")
    return [*as_servant(), program, "-D", str(place.data.resolve()), "-p", str(place.port)]


def server_env() -> dict[str, str]:
    """This environment without settings for other servers of the user's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def is_root() -> bool:
    return os.geteuid() == 0


def as_servant() -> list[str]:
    """What runs the rest of a command line as `nobody` when we are root, and still ends it with its parent."""
    if not is_root():
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ServerProblem("PostgreSQL does not run as root, and setpriv is missing: sudo apt-get install util-linux")
    servant = pwd.getpwnam(SERVANT)
    return [
        setpriv, "--reuid", str(servant.pw_uid), "--regid", str(servant.pw_gid), "--clear-groups",
        "--pdeathsig", "KILL", "--",
    ]  # fmt: skip


def own(path: Path) -> None:
    if is_root():
        servant = pwd.getpwnam(SERVANT)
        os.chown(path, servant.pw_uid, servant.pw_gid)


def check_reach(place: PostgresPlace) -> None:
    """Raises `ServerProblem` for a folder that the servant cannot enter."""
    for wanted in (place.folder.resolve(), place.programs.resolve()):
        for folder in (wanted, *wanted.parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                raise ServerProblem(
                    f"PostgreSQL does not run as root, and {SERVANT} cannot enter {folder} on the way to {wanted}; "
                    f"chmod o+x {folder}, or choose another folder"
                )


def answers(port: int) -> bool:
    """Whether a PostgreSQL server there speaks, and is done with starting."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0) as probe:
            probe.settimeout(1.0)
            probe.sendall(SSL_REQUEST)
            if probe.recv(1) not in (b"S", b"N"):
                return False
            told = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
            probe.sendall(struct.pack("!ii", 8 + len(told), 196608) + told)
            return probe.recv(1) == b"R"  # it asks for the password; "E" while it starts
    except OSError:
        return False

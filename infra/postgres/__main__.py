"""Fetches PostgreSQL's programs, or becomes a local server: `python -m infra.postgres {fetch,serve}`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from infra.maven import MavenProblem
from infra.place import ServerProblem
from infra.postgres.programs import fetch_programs
from infra.postgres.server import PostgresPlace, prepare, server_argv, server_env


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.postgres", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="fetch the programs once")
    serve = commands.add_parser("serve", help="become a server until SIGINT (or SIGTERM, once its clients are gone)")
    serve.add_argument("--folder", type=Path, required=True)
    serve.add_argument("--port", type=int, default=5432)
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "fetch":
            fetch_programs()
        else:
            place = PostgresPlace(chosen.folder.resolve(), chosen.port)
            prepare(place)
            print(f"ORDER_ROUTING_JOURNAL_URL={place.url()}", flush=True)
            argv = server_argv(place)
            os.execve(argv[0], argv, server_env())
    except (ServerProblem, MavenProblem) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

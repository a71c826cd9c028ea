"""Runs a local broker, fetches its jars or creates the topics: `python -m infra.kafka {fetch,serve,topics}`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from infra.kafka.broker import BrokerPlace, broker_argv, java_env, prepare
from infra.kafka.jars import fetch_jars
from infra.kafka.topics import TopicsProblem, create_topics
from infra.maven import MavenProblem
from infra.place import ServerProblem


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.kafka", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="fetch the broker's jars once")
    serve = commands.add_parser("serve", help="become a broker until SIGTERM")
    serve.add_argument("--folder", type=Path, required=True)
    serve.add_argument("--port", type=int, default=9092)
    serve.add_argument("--controller-port", type=int, default=9093)
    topics = commands.add_parser("topics", help="create the topics of protos/topics.yaml")
    topics.add_argument("--bootstrap", required=True)
    topics.add_argument("--prefix", default="")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "fetch":
            fetch_jars()
        elif chosen.command == "topics":
            created = create_topics(chosen.bootstrap, chosen.prefix)
            print("\n".join(f"created {name}" for name in created) or "every topic was there already")
        else:
            place = BrokerPlace(chosen.folder.resolve(), chosen.port, chosen.controller_port)
            prepare(place)
            argv = broker_argv(place)
            os.execve(argv[0], argv, java_env())
    except (ServerProblem, MavenProblem, TopicsProblem) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

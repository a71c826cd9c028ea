"""Becomes a local MLflow server until SIGTERM: `python -m infra.mlflow --folder FOLDER --port PORT`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from infra.mlflow.server import MlflowPlace, prepare, server_argv, server_env
from infra.place import ServerProblem


def main(arguments: list[str] | None = None) -> NoReturn:
    parser = argparse.ArgumentParser(prog="python -m infra.mlflow", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=5000)
    chosen = parser.parse_args(arguments)
    place = MlflowPlace(chosen.folder, chosen.port)
    try:
        prepare(place)
    except ServerProblem as problem:
        sys.exit(str(problem))
    argv = server_argv(place)
    os.execve(argv[0], argv, server_env())


if __name__ == "__main__":
    main()

"""`python -m pipelines.retrain`: the whole pipeline, its steps on a run's folder, or its workflow on a cluster."""

from __future__ import annotations

import sys
import time

import typer
from rich.console import Console

from pipelines.retrain.command.call import Call, Clock
from pipelines.retrain.command.options import ModelOptions, PlaceOptions, SourceOptions, TaskOptions, gathered

WORKFLOW = "workflow"


def retrain(task: TaskOptions, source: SourceOptions, model: ModelOptions, place: PlaceOptions) -> None:
    """Train, judge and register a model. Ends with 0 also when the gate refuses: a refusal is a result.

    1: a person must act; 75: something is away, trying again may do. `workflow --help` tells of runs on a cluster.
    """
    Call(task, source, model, place, Clock(time.time_ns, time.monotonic), Console(stderr=True)).run()


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(gathered(retrain, (TaskOptions, SourceOptions, ModelOptions, PlaceOptions)))


def main() -> None:
    if sys.argv[1:2] == [WORKFLOW]:
        from pipelines.retrain.workflow.__main__ import app as workflow  # hera and Argo's client load slowly

        workflow(sys.argv[2:], prog_name=f"python -m pipelines.retrain {WORKFLOW}")
    else:
        app()


if __name__ == "__main__":
    main()

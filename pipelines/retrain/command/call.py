"""One call of the command line: finds or makes its run, then runs the steps that were named."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console

from libs.bundle.manifest import MODEL_NAME
from libs.runtime.kafka import KafkaConfig
from pipelines.retrain.adapters.key_folder import make_keys
from pipelines.retrain.adapters.mlflow_registry import Registry
from pipelines.retrain.adapters.notifications import notify
from pipelines.retrain.adapters.run_folder import RunError, RunFolder, read_facts, write_facts, write_whole
from pipelines.retrain.adapters.waiting import when_there
from pipelines.retrain.command.exits import EXPECTED, exit_code, last_words, message
from pipelines.retrain.command.options import ALL, ModelOptions, PlaceOptions, SourceOptions, TaskOptions
from pipelines.retrain.command.outputs import write_outputs
from pipelines.retrain.command.request import Asked, asked, one_of, stored
from pipelines.retrain.local import PARTS, STEPS, LocalRun, Places
from pipelines.retrain.report.progress import StepProgress
from pipelines.retrain.settings import Request
from pipelines.retrain.steps.announce import ending

KEYS, PREPARE, ANNOUNCE = "keys", "prepare", "announce"
NAMES = (ALL, PREPARE, *STEPS, *PARTS, ANNOUNCE, KEYS)
FIRST = (ALL, PREPARE, "snapshot")  # they may be told what to learn from; later steps go on with that
ALONE = (ALL, PREPARE, ANNOUNCE, KEYS)
PLAIN_WIDTH = 150  # of tables that go to a file


@dataclass(frozen=True, slots=True)
class Clock:
    """`wall_ns`: ns since 1970 UTC; `seconds`: of a clock that only spaces things out."""

    wall_ns: Callable[[], int]
    seconds: Callable[[], float]

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall_ns() // 10**9, UTC)


@dataclass(frozen=True, slots=True)
class Call:
    """The options of one call, its clock, and where it reports to."""

    task: TaskOptions
    source: SourceOptions
    model: ModelOptions
    place: PlaceOptions
    clock: Clock
    errors: Console

    def run(self) -> None:
        """Prints the summary as the last line; errors end the process with their code and say what to do."""
        try:
            self._check_steps()
            first = self.task.step[0]
            if first == KEYS:
                made = make_keys(self.place.keys or self.place.state / "keys")
                typer.echo(json.dumps({"public": [str(path) for path in made]}))
            elif first == ANNOUNCE:
                self._announce()
            else:
                self._steps()
        except EXPECTED as error:
            last_words(message(error))
            self.errors.print(f"retrain: {message(error)}", markup=False, highlight=False, style="red", soft_wrap=True)
            sys.exit(exit_code(error))

    def _check_steps(self) -> None:
        for step in self.task.step:
            one_of("step", step, NAMES, "Steps")
        alone = [step for step in self.task.step if step in ALONE]
        if alone and len(self.task.step) > 1:
            raise RunError(f"the step {alone[0]!r} stands alone, got: {' '.join(self.task.step)}")
        if "fit" in self.task.step and not (self.task.member and self.task.fold):
            raise RunError("the step 'fit' makes one fit: name it with --member lightgbm --fold 2")

    def _steps(self) -> None:
        began = self.clock.seconds()
        console = Console(quiet=self.task.as_json, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
        with StepProgress(self.errors, self.clock.seconds) as progress:
            if self.task.when_no_champion and self._has_champion(progress):
                return
            folder, request = self._find_run(progress)
            keys = self.place.keys or self.place.state / "keys"
            kafka = self.place.kafka
            config = KafkaConfig(kafka, "confluent", self.place.topic_prefix) if kafka else None
            places = Places(self.place.mlflow or None, config, keys, make_keys=self.place.keys is None)
            task = self.task
            local = LocalRun(
                folder, request, places, progress, console, self.clock.wall_ns, task.again, task.member, task.fold
            )
            for name in self._named():
                local.run(name)
        summary = local.summary()
        if task.outputs is not None:
            write_outputs(task.outputs, folder.path.name, local.fits, summary)
        typer.echo(json.dumps(summary | {"seconds": round(self.clock.seconds() - began, 1)}))

    def _named(self) -> tuple[str, ...]:
        if self.task.step == [ALL]:
            return tuple(STEPS)
        return () if self.task.step == [PREPARE] else tuple(self.task.step)

    def _has_champion(self, progress: StepProgress) -> bool:
        if not self.place.mlflow:
            raise RunError("--when-no-champion looks into a registry: name it with --mlflow")
        progress.begin("champion")
        uri, patience = self.place.mlflow, self.source.patience_s
        champion = when_there(lambda: Registry(uri, MODEL_NAME).champion(), patience, progress.tell)
        progress.end("none yet" if champion is None else f"version {champion} is champion: nothing to do")
        if champion is not None:
            typer.echo(json.dumps({"champion": champion, "reasons": []}))
        return champion is not None

    def _find_run(self, progress: StepProgress) -> tuple[RunFolder, Request]:
        """The run that the steps go on with, or a new one, which keeps what was asked."""
        place, source = self.place, self.source
        told = bool(source.data or source.archive)
        if self.task.step[0] in FIRST and (told or not place.run):
            progress.begin(PREPARE)
            made = asked(source, self.model, self.clock.wall_ns() / 1e9, progress.tell)
            folder = self._folder(place.run or made.name or self.clock.now().strftime("%Y%m%dT%H%M%S"))
            self._keep(folder, made)
            progress.end(f"run {folder.path.name}")
            return folder, made.request
        folder = self._folder(place.run)
        return folder, stored(folder)

    def _keep(self, folder: RunFolder, made: Asked) -> None:
        write_whole(folder.request, made.request.model_dump_json(indent=1).encode())
        if self.task.workflow:
            write_facts(self._of_workflow().request, {"run": folder.path.name})

    def _folder(self, run: str) -> RunFolder:
        return RunFolder(self.place.state / "runs" / (run or "(no --run was given)"))

    def _of_workflow(self) -> RunFolder:
        """Says which run a workflow made, for its last step, which runs also when the first one failed."""
        return RunFolder(self.place.state / "workflows" / self.task.workflow)

    def _announce(self) -> None:
        if not self.task.status:
            raise RunError("the step 'announce' tells how a workflow ended: name it with --status")
        name = self.task.workflow or "(unnamed)"
        at = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        kept: dict[str, Any] = {}
        if self._of_workflow().request.exists():
            kept = read_facts(self._of_workflow().request, PREPARE)
        run = self._folder(kept["run"]) if kept else None
        ended = ending(run, name, self.task.status, self.task.failures)
        tags = ended.tags(at)
        if self.task.notify is not None:
            tags["last_retrain_notified"] = notify(self.task.notify, ended.title(), ended.body(at))
            self.errors.print(f"notification: {tags['last_retrain_notified']}", markup=False, highlight=False)
        if self.place.mlflow:
            registry = Registry(self.place.mlflow, MODEL_NAME)
            when_there(lambda: registry.tag_model(tags), self.source.patience_s, self._say)
        typer.echo(json.dumps(tags))

    def _say(self, what: str) -> None:
        self.errors.print(what, markup=False, highlight=False, soft_wrap=True)

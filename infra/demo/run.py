"""The story of a demo: start everything, let the past play, make a model from it, trade, end cleanly."""

from __future__ import annotations

import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from infra.demo.environment import Environment
from infra.demo.modelling import Retraining, Verdict
from infra.demo.plan import Plan
from infra.demo.processes import ProgramFailed, Supervisor
from infra.demo.scrape import Samples, Scraper
from infra.demo.screen import View, render
from infra.demo.source import Session, Source, SourceProblem
from infra.kafka.topics import create_topics

REFRESH_S = 1.0
SETTLE_S = 20.0  # serving polls aliases every few seconds; after that a model that has not come will not come


@dataclass(slots=True)
class Outcome:
    """What the demo has seen so far."""

    verdict: Verdict | None = None
    judged_at: float | None = None  # monotonic
    first_prediction_at: float | None = None
    samples: Samples = field(default_factory=lambda: Samples({}))
    session: Session | None = None


class Demo:
    """One run over one environment: `start`, then `step` again and again, then `stop`; `run` does all of it."""

    def __init__(
        self, environment: Environment, plan: Plan, root: Path, seconds: float | None, console: Console
    ) -> None:
        self.outcome = Outcome()
        self.supervisor = Supervisor(environment.folder, root, self._say)
        self._environment = environment
        self._plan = plan
        self._root = root
        self._seconds = seconds
        self._console = console
        self._log: deque[str] = deque(maxlen=200)
        self._source = Source(plan.simulator_address)
        self._scraper = Scraper(plan.metrics_ports)
        self._retraining: Retraining | None = None

    def run(self) -> Outcome:
        """Until `seconds` are over, for ever without them; stops everything on the way out, however it ends."""
        try:
            self.start()
            self._watch()
        finally:
            self._console.print("stopping …", style="dim")
            self.stop()
        return self.outcome

    def start(self) -> None:
        """Start everything in order. Raises `ProgramFailed` or `TopicsProblem`."""
        keys = subprocess.Popen(
            self._plan.make_keys_argv,
            cwd=self._root,
            env=self._plan.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._show("starting Kafka, MLflow and the venue", partial(self.supervisor.start_all, self._plan.foundation))
        self._show("making keys", partial(wait_for_keys, keys))
        self._show("creating topics", lambda: create_topics(self._plan.bootstrap, self._environment.topic_prefix))
        self._show("starting the services", lambda: self.supervisor.start_all(self._plan.services))
        for line in self._plan.things_to_try(self._source.sessions()[0].instrument):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._show("starting data_ingestion", lambda: self.supervisor.start(self._plan.ingestion))

    def step(self) -> str:
        """Restart what died, look at everything once, do what is due; returns where the story is."""
        self.supervisor.revive()
        outcome = self.outcome
        outcome.samples = self._scraper.scrape()
        outcome.session = self._announced() or outcome.session
        if outcome.first_prediction_at is None and outcome.samples.total("model_serving_predictions_total"):
            outcome.first_prediction_at = time.monotonic()
        if outcome.session is None:
            return "waiting for the venue's announcement"
        if outcome.verdict is None and (self._retraining is not None or not self._has_model()):
            return self._make_model(outcome.session)
        if outcome.session.state == "PLAYING_TRAINING":
            return played(outcome.session)
        if outcome.session.state == "WAITING":
            self._go_on(outcome.session)
        return self._trading(outcome.session)

    def stop(self) -> None:
        """Leave no process behind."""
        if self._retraining is not None:
            self._retraining.stop()
        self.supervisor.stop_all()

    def _show(self, what: str, act: Callable[[], object]) -> None:
        began = time.monotonic()
        with self._console.status(f"{what} …"):
            act()
        self._console.print(f"{what}: done in {time.monotonic() - began:.1f} s", style="dim")

    def _watch(self) -> None:
        """A live table on a terminal; elsewhere a line for each part of the story, and the table at the end."""
        if self._console.is_terminal:
            with Live(console=self._console, refresh_per_second=2) as live:
                while not self._is_over():
                    live.update(render(self.outcome.samples, self._view(self.step())))
                    time.sleep(REFRESH_S)
            return
        told = ""
        while not self._is_over():
            stage = self.step()
            if stage.split(",")[0] != told:
                self._console.print(Text(stage))
                told = stage.split(",")[0]
            time.sleep(REFRESH_S)
        self._console.print(render(self.outcome.samples, self._view("the end")))

    def _make_model(self, session: Session) -> str:
        if self._retraining is None:
            if session.state == "PLAYING_TRAINING":
                return played(session)
            self._retraining = Retraining(
                self._plan.retrain_argv(session), self._plan.env, self._root, self._environment.folder / "logs"
            )
        verdict = self._retraining.verdict()
        if verdict is not None:
            self.outcome.verdict, self.outcome.judged_at = verdict, time.monotonic()
            for reason in verdict.reasons:
                self._say(f"the gate: {reason}")
            return "the gate has judged"
        return f"making the model: {self._retraining.progress()[:110]}"

    def _go_on(self, session: Session) -> None:
        try:
            self._source.go(session.session)
        except SourceProblem as problem:
            self._say(f"the venue did not go on: {problem}")

    def _trading(self, session: Session) -> str:
        since = self._counted_from()
        if since is None:
            return "waiting for the first prediction"
        left = "" if self._seconds is None else f", {max(0.0, self._seconds - (time.monotonic() - since)):.0f} s left"
        return f"{session.state.lower()}{left}"

    def _counted_from(self) -> float | None:
        """The gate's verdict, or the first prediction where the model was there before."""
        if self._retraining is not None:
            return self.outcome.judged_at
        return self.outcome.first_prediction_at

    def _is_over(self) -> bool:
        since = self._counted_from()
        if since is None:
            return False
        waited = time.monotonic() - since
        ended = self.outcome.session is not None and self.outcome.session.state == "ENDED"
        if waited >= SETTLE_S and (ended or self._can_never_trade()):
            return True
        return self._seconds is not None and waited >= self._seconds

    def _can_never_trade(self) -> bool:
        """Whether the gate left nothing that may act here: no champion, and no challenger where one is explored."""
        served = {labels["role"] for labels in self.outcome.samples.labels_of("model_serving_model_info")}
        acting = {"champion", "challenger"} if self._environment.is_recording else {"champion"}
        return self.outcome.verdict is not None and not served & acting

    def _has_model(self) -> bool:
        return bool(self.outcome.samples.labels_of("model_serving_model_info"))

    def _announced(self) -> Session | None:
        try:
            return self._source.sessions()[0]
        except (SourceProblem, IndexError):
            return None

    def _view(self, stage: str) -> View:
        restarts = {name: running.restarts for name, running in self.supervisor.running.items()}
        return View(f"trading-platform · {self._environment.name}", stage, list(self._log), restarts)

    def _say(self, line: str) -> None:
        self._log.append(line)
        if not self._console.is_terminal:
            self._console.print(Text(line))


def played(session: Session) -> str:
    """Progress of the fast stretch, by the session's own clock."""
    whole = session.training_end_ns - session.training_start_ns
    done = (session.session_anchor_ns - session.training_start_ns) / whole if whole else 1.0
    return f"playing {whole / 60e9:.0f} minutes of the past, fast, {min(1.0, max(0.0, done)):.0%} done"


def wait_for_keys(maker: subprocess.Popen[bytes]) -> None:
    _, said = maker.communicate()
    if maker.returncode != 0:
        raise ProgramFailed(f"the signing keys could not be made:\n{said.decode(errors='replace')}")

"""Runs the chosen cases in order in namespaces of their own, cleans up, and prints what each of them saw."""

from __future__ import annotations

import argparse
import logging
import secrets
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from infra.daemon import free_port
from tests.chart.release import CHART
from tests.chart.release import NAME as RELEASE
from tests.cluster import needs, table
from tests.cluster.accounts import Accounts
from tests.cluster.cases import BESIDE, CASES, INSTALL, NEEDS_ARGO
from tests.cluster.cluster import Cluster
from tests.cluster.place import open_namespace
from tests.cluster.platform import Platform
from tests.cluster.release import Release
from tests.cluster.table import Result
from tests.cluster.waiting import PASSING, Failed

PROFILE = CHART / "values-dev.yaml"
TOPIC_PREFIX = "dev."
PREREQUISITE = 2  # exit code
ENDS_S = 900.0  # of the case beside the others, after they have ended


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all cases passed, 1 when one did not, 2 when something they need is missing."""
    chosen = options(arguments)
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 160)
    logging.getLogger("librdkafka").addHandler(logging.NullHandler())  # a broker that is away is said by the cases
    logging.getLogger("librdkafka").propagate = False
    signal.signal(signal.SIGTERM, _interrupted)
    namespace = chosen.namespace or f"cluster-test-{secrets.token_hex(3)}"
    with tempfile.TemporaryDirectory(prefix="cluster-test-") as folder:
        run = Run(namespace, [PROFILE, *chosen.values], Path(folder), console)
        missing, argo = run.needs(chosen.again)
        if missing:
            return PREREQUISITE
        try:
            run.all(chosen.only, argo, again=chosen.again)
        except KeyboardInterrupt:
            run.say("interrupted")
            run.results += [Result(name, "not tried", 0.0, ("interrupted",)) for name in run.unfinished(chosen.only)]
        finally:
            run.clean(chosen.keep)
    results = sorted(run.results, key=lambda one: list(CASES).index(one.case))
    table.show(results, console)
    if chosen.json is not None:
        chosen.json.write_text(table.as_json(results))
    return table.exit_code(results)


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--only", type=names, default=list(CASES), help=f"of {','.join(CASES)}; install always runs")
    parser.add_argument("--keep", action="store_true", help="leave the release and its namespace as they are")
    parser.add_argument("--namespace", default="", help="a name that is not there yet; default: a fresh one")
    parser.add_argument("--again", action="store_true", help="on the kept release of --namespace, without install")
    parser.add_argument("--values", type=Path, action="append", default=[], metavar="FILE", help="as of a registry")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="the table as JSON too")
    chosen = parser.parse_args(arguments)
    if chosen.again and not chosen.namespace:
        parser.error("--again needs the --namespace that an earlier run kept")
    return chosen


def names(text: str) -> list[str]:
    """The cases of a list by comma, in the order in which they run."""
    asked = {part.strip() for part in text.split(",") if part.strip()}
    strange = sorted(asked - set(CASES))
    if strange:
        raise argparse.ArgumentTypeError(f"no case {', '.join(strange)}; there are {', '.join(CASES)}")
    return [name for name in CASES if name in asked | {INSTALL}] if asked else list(CASES)


class Run:
    """One run: its namespaces, its results, and how it ends."""

    def __init__(self, namespace: str, profile: Sequence[Path], folder: Path, console: Console) -> None:
        self.cluster = Cluster(namespace, RELEASE)
        self.results: list[Result] = []
        self._profile, self._folder, self._console = profile, folder, console
        self._began = time.monotonic()
        self._made: list[Cluster] = []
        self._accounts: Accounts | None = None
        self._level = "restricted"

    def say(self, line: str, beside: str = "") -> None:
        self._console.print(f"{time.monotonic() - self._began:6.0f} s  {beside}{line}", markup=False)

    # --- before

    def needs(self, again: bool) -> tuple[bool, bool]:
        """Every need, printed; whether something is missing, and whether Argo is there. `again`: it has its room."""
        found = list(needs.programs())
        if all(one.holds for one in found):
            found.append(needs.cluster())
        if all(one.holds for one in found):
            rendered = self._rendered()
            nodes, pods = needs.listed("nodes"), needs.listed("pods", "-A")
            room = [] if again else [needs.room(rendered, nodes, pods)]
            found += [needs.images(rendered, nodes), *room, needs.argo()]
        for one in found:
            self._console.print(one.line, markup=False)
        return any(one.holds is False for one in found), found[-1].holds is True

    def _rendered(self) -> list[Mapping[str, Any]]:
        files = [word for file in self._profile for word in ("-f", str(file))]
        return needs.rendered_chart(["helm", "template", RELEASE, str(CHART), *files])

    # --- the cases

    def all(self, chosen: Sequence[str], argo: bool, again: bool) -> None:
        """`again`: the release is there already, as an earlier run left it."""
        self._made.append(self.cluster)
        if again:
            self._level = self.cluster.enforced()
            values = Release(self.cluster, [], {}, self._folder).values()
            chosen = [name for name in chosen if name != INSTALL]
        else:
            self._level = open_namespace(self.cluster, self._probe(), self.say)
            values = values_of(free_port(), argo)
        release = Release(self.cluster, self._profile, values, self._folder)
        self._accounts = Accounts(self.cluster, TOPIC_PREFIX, int(values["dev"]["kafka"]["forwardPort"]))
        platform = Platform(self.cluster, release, self._accounts, self.say, argo, self._spare)
        beside = self._beside(platform) if again and BESIDE in chosen else None
        for name in chosen:
            if name == BESIDE:
                continue
            self._one(name, platform)
            if name == INSTALL and BESIDE in chosen:
                beside = self._beside(platform)
        if beside is not None:
            self.wait_for_beside(beside, ENDS_S)

    def wait_for_beside(self, thread: threading.Thread, seconds: float) -> None:
        """A case that does not end has failed; it is not left out of the table."""
        self.say(f"waiting for {BESIDE}")
        thread.join(seconds)
        if thread.is_alive():
            said = f"not ended {seconds:.0f} s after the others"
            self.results.append(Result(BESIDE, "FAILED", seconds, (said,)))

    def _beside(self, platform: Platform) -> threading.Thread:
        own = replace(platform, say=partial(self.say, beside=f"[{BESIDE}] "))
        thread = threading.Thread(target=self._one, args=(BESIDE, own), daemon=True)
        thread.start()
        return thread

    def _probe(self) -> str:
        """An image that the release runs anyhow and that has a shell's programs."""
        return next(i for spec in needs.pod_specs(self._rendered()) for i in needs.images_of(spec) if "archive" in i)

    def _spare(self, name: str, values: Mapping[str, Any]) -> Release:
        """A second release, in a namespace that goes with the first one."""
        cluster = Cluster(f"{self.cluster.namespace}-{name}", name)
        self._made.append(cluster)
        cluster.create_like(self._level)
        return Release(cluster, self._profile, values, self._folder)

    def _one(self, name: str, platform: Platform) -> None:
        if any(one.case == INSTALL and one.outcome != "passed" for one in self.results):
            self.results.append(Result(name, "not tried", 0.0, ("the platform does not stand",)))
            return
        if name in NEEDS_ARGO and not platform.argo:
            self.results.append(Result(name, "left out", 0.0, ("the cluster does not know argoproj.io/v1alpha1",)))
            return
        platform.say(f"--- {name}")
        began, passed = time.monotonic(), False
        try:
            if name not in (INSTALL, BESIDE):
                platform.go_on()
            seen, passed = CASES[name](platform), True
        except (Failed, *PASSING) as error:
            seen = [str(error)]
        except Exception:  # an error of this test itself is a row too, and the others still run
            seen = [traceback.format_exc(limit=-3)]
        result = Result(name, "passed" if passed else "FAILED", time.monotonic() - began, tuple(seen))
        if self.unfinished([name]):  # the one beside the others may have been given up meanwhile
            self.results.append(result)
        platform.say(f"{result.outcome}: {'; '.join(seen)}")

    # --- after

    def unfinished(self, chosen: Sequence[str]) -> list[str]:
        ended = {one.case for one in self.results}
        return [name for name in chosen if name not in ended]

    def clean(self, keep: bool) -> None:
        """Nothing of this run stays, however it ended, unless it is to be kept."""
        with _undisturbed():
            if self._accounts is not None:
                self._accounts.close()
            for cluster in self._made if keep else ():
                self.say(f"kept; remove with: kubectl delete namespace {cluster.namespace}")
            for cluster in () if keep else self._made:
                self.say(f"removing namespace {cluster.namespace}")
                cluster.begin_to_remove()
            for cluster in () if keep else self._made:
                cluster.remove()
                left = cluster.leftovers()
                self.say(
                    f"left behind: {', '.join(left)}" if left else f"nothing of {cluster.namespace} is left behind"
                )


def values_of(broker_port: int, argo: bool) -> dict[str, Any]:
    """What this test wants otherwise than the profile."""
    return {
        "dev": {"kafka": {"forwardPort": broker_port}},
        # The market is stopped for audits: minutes without a prediction are then no emergency.
        "orderRouting": {"settings": {"DEAD_MAN_SECONDS": 900}},
        "argo": {"enabled": argo, "suspend": True},
    }


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not stop the cleaning up."""
    before: Callable[..., Any] | int | None = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

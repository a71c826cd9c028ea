"""Reconciles what serves with what the registry's aliases wish for, and remembers why a wish was refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from libs.trading.scoring import Role
from services.model_serving.domain import ALIASES, Change, ChangeKind, Last, Retire, Try, accepted_kind, last_of, to_do
from services.model_serving.handlers.serving import Models, Served
from services.model_serving.ports import (
    Admission,
    Admitted,
    BrokenVersion,
    Cache,
    History,
    HistoryUnavailable,
    NotAdmitted,
    Notices,
    Registered,
    Registry,
    RegistryUnavailable,
)

REFUSED_TAG, ALIAS_TAG = "refused_reason", "refused_alias"


class Reconciler:
    """`run` restores what was accepted last, then steps every few seconds. `clock` gives wall ns."""

    def __init__(
        self,
        model_name: str,
        models: Models,
        *,
        registry: Registry,
        admission: Admission,
        cache: Cache,
        history: History,
        notices: Notices,
        clock: Callable[[], int],
    ) -> None:
        self._name = model_name
        self._models = models
        self._registry = registry
        self._admission = admission
        self._cache = cache
        self._history = history
        self._notices = notices
        self._clock = clock
        self._refused: dict[Role, Change] = {}  # for people; also what was refused before this start
        self._tried: dict[Role, int] = {}  # versions that this process refused, and tries again only when asked
        self._ages: dict[Role, int] = {}  # versions whose age was told
        self._last: dict[Role, Last] = {}
        self._owed_tags: dict[int, Mapping[str, str]] = {}
        self._owed_models: dict[Role, Change] = {}
        self._one_at_a_time = threading.Lock()
        self._restored = threading.Event()

    def refused(self) -> Mapping[Role, Change]:
        """The newest refusal of each alias, until another version is accepted or the alias goes."""
        return dict(self._refused)

    def run(self, stop: threading.Event, poll_s: float) -> None:
        """Restore once the history can be read, then step every `poll_s` seconds until the event is set.

        What was accepted last and lies in no cache of this replica is waited for, too: the registry has it."""
        while not stop.is_set():
            try:
                self.restore()
            except HistoryUnavailable as error:
                self._notices.waiting("history", str(error))
                stop.wait(poll_s)
            else:
                self._notices.waiting("history", None)
                self._let_score()
                break
        while not stop.is_set():
            self.step()
            self._let_score()
            stop.wait(poll_s)

    def _let_score(self) -> None:
        if not self._owed_models:
            self._restored.set()

    def wait_until_restored(self, stop: threading.Event) -> None:
        """Nothing may be scored before the last accepted model is back, or it would miss what lies on the log."""
        while not self._restored.is_set() and not stop.wait(0.02):
            pass

    def restore(self) -> None:
        """Serve again what the history accepted last, checked anew, before any alias is looked at.

        Raises HistoryUnavailable. Needs no registry where the cache has the bundle.
        """
        with self._one_at_a_time:
            self._last = last_of([change for change in self._history.read() if change.model_name == self._name])
            for role, last in self._last.items():
                if last.serving is not None:
                    self._restore(role, last.serving)
                if last.refused is not None:
                    self._refused[role] = last.refused
                    self._notices.still_refused(role, last.refused.version, last.refused.reason)

    def step(self, *, again: bool = False) -> None:
        """Look at the aliases once and do what follows. `again`: try refused versions once more.

        Whatever is away now is told to the notices and tried at the next step; what serves keeps serving.
        """
        with self._one_at_a_time:
            try:
                found = self._registry.registered()
                self._pay_tags()
            except RegistryUnavailable as error:
                self._notices.waiting("registry", str(error))
                return
            away = self._follow(found, again=again)
            for dependency in ("registry", "history"):
                self._notices.waiting(dependency, away.get(dependency))

    def _follow(self, found: Registered | None, *, again: bool) -> dict[str, str]:
        """Do what follows from the registry's answer; returns what was away for any of it, and why."""
        away: dict[str, str] = {}
        for role, accepted in list(self._owed_models.items()):
            away |= _attempt(partial(self._fetch_last, role, accepted))
        if found is None:
            return away  # a registry that never heard of the model wishes for nothing, not for nobody
        self._notices.newest_created(found.newest_created)
        away |= _attempt(partial(self._forgive, found.aliases))
        serving = {role: served.admitted.facts.version for role, served in self._models.now().items()}
        for step in to_do(found.aliases, serving, self._tried, again=again):
            away |= _attempt(partial(self._do, step))
        return away | _attempt(self._tell_ages)

    def _do(self, step: Try | Retire) -> None:
        if isinstance(step, Retire):
            self._retire(step.role)
        else:
            self._try(step.role, step.version)

    def _forgive(self, wishes: Mapping[str, int]) -> None:
        """A refusal is over when its alias names another version: nothing is refused any more, and its tags go."""
        for role, change in list(self._refused.items()):
            wish = wishes.get(ALIASES[role])
            if wish == change.version:
                continue
            served = self._models.now().get(role)
            if served is not None and served.admitted.facts.version == wish:
                self._record(role, served.admitted)  # whoever reads the history sees that the refusal is over
            self._tried.pop(role, None)
            del self._refused[role]
            self._notices.refusal_over(role, change.version)
            also = next(((r, c) for r, c in self._refused.items() if c.version == change.version), None)
            tags = ("", "") if also is None else (also[1].reason, ALIASES[also[0]])
            self._owed_tags[change.version] = {REFUSED_TAG: tags[0], ALIAS_TAG: tags[1]}
            self._pay_tags()

    def _tell_ages(self) -> None:
        for role, served in self._models.now().items():
            version = served.admitted.facts.version
            if self._ages.get(role) != version:
                with suppress(BrokenVersion):  # a version that is gone has no age
                    self._notices.created(role, self._registry.created(version))
                self._ages[role] = version

    def _restore(self, role: Role, accepted: Change) -> None:
        found = self._cache.find(accepted.digest)
        if found is not None and self._serve_again(role, accepted, found):
            return
        if found is not None:
            self._cache.forget(found)
        self._owed_models[role] = accepted  # the registry may still have it

    def _fetch_last(self, role: Role, accepted: Change) -> None:
        """The last accepted version, wished for or not: what the alias names may be refused again."""
        folder = self._cache.incoming(accepted.version)
        try:
            self._registry.fetch(accepted.version, folder)
            if self._serve_again(role, accepted, folder):
                self._cache.keep(folder, accepted.digest)
        except BrokenVersion as error:
            self._notices.refused(role, accepted.version, accepted.digest, "BROKEN_BUNDLE", str(error))
        finally:
            self._cache.forget(folder)
        del self._owed_models[role]

    def _serve_again(self, role: Role, accepted: Change, folder: Path) -> bool:
        verdict = self._admission.admit(folder, accepted.version, role)
        if isinstance(verdict, NotAdmitted):
            self._notices.refused(role, accepted.version, verdict.digest, verdict.code, verdict.reason)
            return False
        if verdict.facts.digest != accepted.digest:
            reason = f"accepted as {accepted.digest}, found {verdict.facts.digest}"
            self._notices.refused(role, accepted.version, verdict.facts.digest, "OTHER_BUNDLE", reason)
            return False
        self._serve(role, verdict, accepted.time)
        return True

    def _try(self, role: Role, version: int) -> None:
        folder = self._cache.incoming(version)
        try:
            self._registry.fetch(version, folder)
        except BrokenVersion as error:
            self._refuse(role, version, NotAdmitted("BROKEN_BUNDLE", str(error), ""))
        else:
            verdict = self._admission.admit(folder, version, role)
            if isinstance(verdict, Admitted):
                self._accept(role, verdict, folder)
            else:
                self._refuse(role, version, verdict)
        finally:
            self._cache.forget(folder)

    def _accept(self, role: Role, admitted: Admitted, folder: Path) -> None:
        facts = admitted.facts
        self._cache.keep(folder, facts.digest)
        last = self._last.get(role, Last())
        if (facts.version, facts.digest) != _identity(last.serving) or last.refused is not None:
            self._record(role, admitted)
        if last.refused is not None and last.refused.version == facts.version:
            self._owed_tags[facts.version] = {REFUSED_TAG: "", ALIAS_TAG: ""}
        self._refused.pop(role, None)
        self._tried.pop(role, None)
        self._owed_models.pop(role, None)
        self._serve(role, admitted, self._clock())
        self._cache.only(frozenset(served.admitted.facts.digest for served in self._models.now().values()))

    def _record(self, role: Role, admitted: Admitted) -> None:
        """First the record, then the act: whoever sees a prediction can look up its model."""
        facts = admitted.facts
        last = self._last.get(role, Last())
        before = last.serving.version if last.serving is not None else None
        change = Change(
            accepted_kind(facts.version, before),
            self._name,
            role,
            facts.version,
            facts.digest,
            "",
            self._clock(),
            facts.provenance,
            facts.evidence,
            admitted.integrity,
            admitted.evidence,
        )
        self._history.write(change)
        self._last[role] = Last(serving=change)

    def _serve(self, role: Role, admitted: Admitted, accepted_time: int) -> None:
        self._models.put(Served(admitted, role, admitted.facts.view.hash, accepted_time))
        self._ages.pop(role, None)
        self._notices.serving(admitted.facts, role)

    def _refuse(self, role: Role, version: int, why: NotAdmitted) -> None:
        change = Change(ChangeKind.REFUSED, self._name, role, version, why.digest, why.reason, self._clock())
        last = self._last.get(role, Last())
        if last.refused is None or replace(last.refused, time=0) != replace(change, time=0):
            self._history.write(change)
            self._last[role] = Last(last.serving, change)
        self._refused[role], self._tried[role] = change, version
        self._notices.refused(role, version, why.digest, why.code, why.reason)
        self._owed_tags[version] = {REFUSED_TAG: why.reason, ALIAS_TAG: ALIASES[role]}
        self._pay_tags()

    def _pay_tags(self) -> None:
        for version, tags in list(self._owed_tags.items()):
            with suppress(BrokenVersion):  # a version that is gone needs no tag
                self._registry.tag(version, tags)
            del self._owed_tags[version]

    def _retire(self, role: Role) -> None:
        served = self._models.now()[role]
        facts = served.admitted.facts
        change = Change(
            ChangeKind.RETIRED, self._name, role, facts.version, facts.digest, "the alias was removed", self._clock()
        )
        self._history.write(change)
        self._last[role] = Last()
        self._refused.pop(role, None)
        self._tried.pop(role, None)
        self._ages.pop(role, None)
        self._models.drop(role)
        self._notices.retired(role, facts.version)


def _identity(change: Change | None) -> tuple[int, str] | None:
    return None if change is None else (change.version, change.digest)


def _attempt(action: Callable[[], None]) -> dict[str, str]:
    """What was away for it, and why; empty when it was done."""
    try:
        action()
    except RegistryUnavailable as error:
        return {"registry": str(error)}
    except HistoryUnavailable as error:
        return {"history": str(error)}
    return {}

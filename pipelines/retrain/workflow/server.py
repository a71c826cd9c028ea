"""The Argo server behind a few plain calls: submit a template, look at its workflows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import argo_workflows
from argo_workflows.api import workflow_service_api, workflow_template_service_api
from argo_workflows.model.io_argoproj_workflow_v1alpha1_submit_opts import IoArgoprojWorkflowV1alpha1SubmitOpts
from argo_workflows.model.io_argoproj_workflow_v1alpha1_workflow_submit_request import (
    IoArgoprojWorkflowV1alpha1WorkflowSubmitRequest,
)
from urllib3.exceptions import HTTPError

from pipelines.retrain.command.spelling import did_you_mean

TIMEOUT_S = 15.0
FAILED = ("Failed", "Error")
ENDED = ("Succeeded", *FAILED)


class ArgoProblem(Exception):
    """The server refused; the message names what and the remedy."""


class ArgoAway(ArgoProblem):
    """The server does not answer."""


@dataclass(frozen=True, slots=True)
class Step:
    """One pod of a workflow, or one try of it."""

    name: str
    phase: str
    message: str
    started: datetime | None
    finished: datetime | None


@dataclass(frozen=True, slots=True)
class Run:
    """A workflow as the server tells of it; `shown` are its output parameters (run, verdict, version, …)."""

    name: str
    phase: str
    message: str
    created: datetime | None
    started: datetime | None
    finished: datetime | None
    steps: tuple[Step, ...] = ()
    shown: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    @property
    def cause(self) -> str:
        """The workflow's own message; of a failed one without a message the first failed step's."""
        failed = [f"{step.name}: {step.message}" for step in self.steps if step.phase in FAILED and step.message]
        return self.message or (failed[0] if self.phase in FAILED and failed else "")


class ArgoServer:
    """One server and one namespace. Raises ArgoAway when it does not answer, ArgoProblem when it refuses."""

    def __init__(self, address: str, token: str, namespace: str, *, verify: bool = True) -> None:
        self._address = address if "://" in address else f"http://{address}"
        self._namespace = namespace
        configuration = argo_workflows.Configuration(host=self._address.rstrip("/"))
        configuration.verify_ssl = verify
        configuration.retries = False
        client = argo_workflows.ApiClient(configuration)
        if token:
            bearer = token if token.startswith("Bearer ") else f"Bearer {token}"
            client.set_default_header("Authorization", bearer)
        self._workflows = workflow_service_api.WorkflowServiceApi(client)
        self._templates = workflow_template_service_api.WorkflowTemplateServiceApi(client)

    def submit(self, template: str, parameters: Mapping[str, str]) -> str:
        """Start a workflow of this template; returns its name. Raises ArgoProblem that names the nearest template or
        parameter to a misspelt one."""
        known = self._parameters(template)
        for name in parameters:
            if name not in known:
                raise ArgoProblem(f"the template {template} has no parameter {name!r}.{did_you_mean(name, known)}")
        told = [f"{name}={value}" for name, value in parameters.items()]
        body = IoArgoprojWorkflowV1alpha1WorkflowSubmitRequest(
            namespace=self._namespace,
            resource_kind="WorkflowTemplate",
            resource_name=template,
            submit_options=IoArgoprojWorkflowV1alpha1SubmitOpts(parameters=told),
        )
        made = self._ask(self._workflows.submit_workflow, self._namespace, body)
        return str(made["metadata"]["name"])

    def run(self, name: str) -> Run:
        try:
            return _run(self._ask(self._workflows.get_workflow, self._namespace, name))
        except _NotThere as error:
            known = [run.name for run in self.runs(None)]
            raise ArgoProblem(
                f"no workflow {name!r} in namespace {self._namespace}.{did_you_mean(name, known)}"
            ) from error

    def runs(self, template: str | None) -> list[Run]:
        """Those of one template (None: all), the newest first."""
        answer = self._ask(self._workflows.list_workflows, self._namespace)
        found = []
        for item in answer.get("items") or []:
            used = item.get("spec", {}).get("workflowTemplateRef", {}).get("name")
            if template is None or used == template:
                found.append(_run(item))
        return sorted(found, key=lambda run: (str(run.created), run.name), reverse=True)

    def _parameters(self, template: str) -> list[str]:
        try:
            found = self._ask(self._templates.get_workflow_template, self._namespace, template)
        except _NotThere as error:
            listed = self._ask(self._templates.list_workflow_templates, self._namespace).get("items") or []
            known = [item["metadata"]["name"] for item in listed]
            hint = did_you_mean(template, known)
            there = f"There: {', '.join(known)}" if known else "There is none: install the chart with argo.enabled=true"
            raise ArgoProblem(
                f"no WorkflowTemplate {template!r} in namespace {self._namespace}.{hint} {there}"
            ) from error
        return [one["name"] for one in found["spec"].get("arguments", {}).get("parameters", [])]

    def _ask(self, call: Any, *arguments: Any) -> dict[str, Any]:
        """The answer as plain JSON: the client's own models lag behind the server's."""
        try:
            answer = call(*arguments, _check_return_type=False, _request_timeout=TIMEOUT_S)
        except argo_workflows.ApiException as error:
            raise self._refusal(error) from error
        except (HTTPError, OSError) as error:
            raise ArgoAway(
                f"the Argo server at {self._address} does not answer ({type(error).__name__}). Name it with --server "
                "or ARGO_SERVER; `kubectl -n argo port-forward svc/argo-server 2746` brings it to localhost:2746. "
                f"Where only Argo's controller runs: {without_server(self._namespace)}"
            ) from error
        return dict(answer.to_dict() if hasattr(answer, "to_dict") else answer)

    def _refusal(self, error: Any) -> ArgoProblem:
        if error.status == 404:
            return _NotThere(str(error.reason))
        if error.status in (401, 403):
            return ArgoProblem(
                f"the Argo server at {self._address} does not let you in ({error.status}): give a token with --token "
                "or ARGO_TOKEN, as `argo auth token` or `kubectl create token SERVICEACCOUNT` prints it"
            )
        if error.status in (502, 503, 504):
            return ArgoAway(f"the Argo server at {self._address} is away: HTTP {error.status}")
        return ArgoProblem(f"the Argo server at {self._address}: HTTP {error.status}: {str(error.body)[:300]}")


class _NotThere(ArgoProblem):
    """The server answered 404."""


def without_server(namespace: str) -> str:
    """How to start a retraining with kubectl alone."""
    return (
        f'kubectl -n {namespace} create -f - <<< \'{{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow",'
        '"metadata":{"generateName":"retrain-"},"spec":{"workflowTemplateRef":{"name":"TEMPLATE"}}}\', and '
        f"`kubectl -n {namespace} get workflows -w`"
    )


def _run(item: Mapping[str, Any]) -> Run:
    status = item.get("status") or {}
    nodes = (status.get("nodes") or {}).values()
    steps = [_step(node) for node in nodes if node.get("type") == "Pod"]
    shown = (status.get("outputs") or {}).get("parameters") or []
    return Run(
        name=str(item["metadata"]["name"]),
        phase=str(status.get("phase") or "Pending"),
        message=str(status.get("message") or ""),
        created=_time(item["metadata"].get("creationTimestamp")),
        started=_time(status.get("startedAt")),
        finished=_time(status.get("finishedAt")),
        steps=tuple(sorted(steps, key=lambda step: (str(step.started), step.name))),
        shown={one["name"]: str(one.get("value", "")) for one in shown},
    )


def _step(node: Mapping[str, Any]) -> Step:
    return Step(
        str(node.get("displayName") or node.get("name")),
        str(node.get("phase") or "Pending"),
        str(node.get("message") or ""),
        _time(node.get("startedAt")),
        _time(node.get("finishedAt")),
    )


def _time(text: Any) -> datetime | None:
    if isinstance(text, datetime):
        return text
    return datetime.fromisoformat(text) if text else None

"""The WorkflowTemplate and CronWorkflow of retraining, as hera's values; a chart sets names, places and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hera.workflows import (
    DAG,
    Container,
    CronWorkflow,
    Parameter,
    RetryStrategy,
    Task,
    WorkflowTemplate,
    models,
)

NAME = "trading-platform-retrain"
RUNS, ARCHIVE, TMP, OUTPUTS = "/runs", "/archive", "/tmp", "/tmp/outputs"
KEYS, NOTIFICATIONS = "/keys", "/notifications"
DAY = 86_400

# What a person may choose for one run, with what is used otherwise; empty leaves the choice to the pipeline. The chart
# writes its values here.
PARAMETERS = {
    "image": "trading-platform/pipelines:0.1.0",
    "window": "26w",
    "until": "now",
    "policy": "production",
    "instrument": "",
    "provenance": "",
    "scope": "",
    "archive": ARCHIVE,
    "mlflow": "http://trading-platform-mlflow:5000",
    "kafka": "",
    "topic-prefix": "",
    "venue": "",
    "maker-fee-bps": "",
    "taker-fee-bps": "",
    "slippage-bps": "",
    "bar-seconds": "",
    "emission-ms": "",
    "horizon": "",
    "sigmas": "",
    "seed": "",
    "patience-s": "600",
}
ASKED = (
    "window", "until", "policy", "instrument", "provenance", "scope", "archive", "venue", "maker-fee-bps",
    "taker-fee-bps", "slippage-bps", "bar-seconds", "emission-ms", "horizon", "sigmas", "seed",
    "patience-s",
)  # fmt: skip
SHOWN = ("run", "verdict", "version", "alias", "reasons")

# Faults of the cluster, or something that is away (exit code 75); never data, settings or a refusal. 137 is a kill, of
# memory too; 143 a drained node. The messages are those of pods that vanished without a code.
TRY_AGAIN = (
    "lastRetry.status == 'Error' || lastRetry.exitCode in ['75', '137', '143'] || "
    "lastRetry.message matches '(?i)evict|preempt|pod deleted|node (was )?(shutdown|lost)'"
)
# Repeated failures: three, and more than ever succeeded.
STOP = "cronworkflow.failed >= 3 && cronworkflow.failed > cronworkflow.succeeded"


def retrain_template() -> WorkflowTemplate:
    """prepare → data → one fit for each member and fold → model → integrity → evidence → register, then announce."""
    with WorkflowTemplate(
        name=NAME,
        entrypoint="retrain",
        on_exit="announce",
        arguments=[Parameter(name=name, value=value) for name, value in PARAMETERS.items()],
        service_account_name=NAME,
        parallelism=4,
        synchronization=models.Synchronization(mutexes=[models.Mutex(name=NAME)]),
        active_deadline_seconds=12 * 3600,
        ttl_strategy=models.TTLStrategy(seconds_after_completion=14 * DAY),
        pod_gc=models.PodGC(strategy="OnWorkflowSuccess", delete_delay_duration="600s"),
        pod_metadata=models.Metadata(labels={"app.kubernetes.io/component": "retrain"}),
        security_context=models.PodSecurityContext(
            run_as_non_root=True,
            run_as_user=10001,
            run_as_group=10001,
            fs_group=10001,
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=models.SeccompProfile(type="RuntimeDefault"),
        ),
        # A secret that is missing shows itself in the step's message, and may come before the next try.
        volumes=[
            models.Volume(name="runs", persistent_volume_claim=_claim(NAME)),
            models.Volume(name="archive", persistent_volume_claim=_claim("trading-platform-archive", read_only=True)),
            models.Volume(name="training-key", secret=_secret("trading-platform-training-key", optional=True)),
            models.Volume(name="gate-key", secret=_secret("trading-platform-gate-key", optional=True)),
            models.Volume(name="notifications", secret=_secret("trading-platform-notifications", optional=True)),
            models.Volume(name="tmp", empty_dir=models.EmptyDirVolumeSource()),
        ],
    ) as template:
        _templates()
        _announce()
        _dag()
    return template


def retrain_cron() -> CronWorkflow:
    """Weekly, in UTC, one at a time; a schedule missed by less than two days is still run."""
    return CronWorkflow(
        name=NAME,
        schedules=["0 3 * * 0"],
        timezone="UTC",
        concurrency_policy="Forbid",
        starting_deadline_seconds=2 * DAY,
        successful_jobs_history_limit=10,
        failed_jobs_history_limit=10,
        stop_strategy=models.StopStrategy(expression=STOP),
        workflow_template_ref=models.WorkflowTemplateRef(name=NAME),
    )


def _templates() -> None:
    run = [Parameter(name="run")]
    options = [f"--{name}={{{{workflow.parameters.{name}}}}}" for name in ASKED]
    told = ["--workflow={{workflow.name}}", "--now={{workflow.creationTimestamp.RFC3339}}", *options]
    _step("prepare", ["prepare", *told], shows=("run", "fits"), mounts=[_archive()])
    _step("data", ["snapshot", "dataset", _RUN], inputs=run, mounts=[_archive()])
    one_fit = ["fit", _RUN, "--member={{inputs.parameters.member}}", "--fold={{inputs.parameters.fold}}"]
    _step("fit", one_fit, inputs=[*run, Parameter(name="member"), Parameter(name="fold")])
    _step("model", ["train", "calibrate", "export", "evaluate", _RUN], inputs=run)
    _step("integrity", ["integrity", _RUN, f"--keys={KEYS}", _MLFLOW], inputs=run, mounts=[_key("training-key")])
    _step("evidence", ["evidence", _RUN, f"--keys={KEYS}", _MLFLOW], inputs=run, mounts=[_key("gate-key")])
    register = ["register", _RUN, _MLFLOW, "--kafka={{workflow.parameters.kafka}}"]
    register += ["--topic-prefix={{workflow.parameters.topic-prefix}}"]
    _step("register", register, inputs=run, shows=SHOWN)


_RUN = "--run={{inputs.parameters.run}}"
_MLFLOW = "--mlflow={{workflow.parameters.mlflow}}"


def _announce() -> None:
    """Runs also when the workflow failed: the registry and people hear of it."""
    ended = ["--workflow={{workflow.name}}", "--status={{workflow.status}}", "--failures={{workflow.failures}}"]
    told = ["announce", *ended, f"--notify={NOTIFICATIONS}/urls", _MLFLOW, "--patience-s=120"]
    mount = models.VolumeMount(name="notifications", mount_path=NOTIFICATIONS, read_only=True)
    _step("announce", told, mounts=[mount])


def _step(
    name: str,
    arguments: Sequence[str],
    inputs: Sequence[Parameter] = (),
    shows: Sequence[str] = (),
    mounts: Sequence[models.VolumeMount] = (),
) -> Container:
    """One pod: steps of the pipeline on the run volume. `shows`: values that it leaves for Argo to show and pass on."""
    outputs = [f"--outputs={OUTPUTS}"] if shows else []
    return Container(
        name=name,
        image="{{workflow.parameters.image}}",
        image_pull_policy="IfNotPresent",
        command=["python", "-m", "pipelines.retrain"],
        args=[*arguments, f"--state={RUNS}", *outputs],
        inputs=list(inputs),
        outputs=[_shown(name) for name in shows],
        env=[
            models.EnvVar(name="HOME", value=TMP),
            models.EnvVar(name="MPLCONFIGDIR", value=TMP),
            models.EnvVar(name="OMP_NUM_THREADS", value="2"),
            models.EnvVar(name="MLFLOW_DISABLE_TELEMETRY", value="true"),
        ],
        volume_mounts=[
            models.VolumeMount(name="runs", mount_path=RUNS),
            models.VolumeMount(name="tmp", mount_path=TMP),
            *mounts,
        ],
        resources=models.ResourceRequirements(
            requests={"cpu": models.Quantity("50m"), "memory": models.Quantity("512Mi")},
            limits={"memory": models.Quantity("4Gi")},
        ),
        security_context=models.SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=models.Capabilities(drop=["ALL"]),
        ),
        termination_message_policy="FallbackToLogsOnError",
        retry_strategy=RetryStrategy(
            limit="5",
            retry_policy="Always",
            expression=TRY_AGAIN,
            backoff=models.Backoff(duration="15", factor=models.IntOrString(2)),
        ),
    )


def _dag() -> None:
    one = {"run": "{{tasks.prepare.outputs.parameters.run}}"}
    with DAG(name="retrain"):
        prepare = Task(name="prepare", template="prepare")
        data = Task(name="data", template="data", arguments=one)
        fit = Task(
            name="fit",
            template="fit",
            arguments={**one, "member": "{{item.member}}", "fold": "{{item.fold}}"},
            with_param="{{tasks.prepare.outputs.parameters.fits}}",
        )
        rest = [
            Task(name=name, template=name, arguments=one) for name in ("model", "integrity", "evidence", "register")
        ]
        for before, after in pairwise((prepare, data, fit, *rest)):
            before >> after


def _shown(name: str) -> Parameter:
    """An output; all but the list of fits are the workflow's too, where a person looks first."""
    return Parameter(
        name=name,
        value_from=models.ValueFrom(path=f"{OUTPUTS}/{name}"),
        global_name=None if name == "fits" else name,
    )


def _archive() -> models.VolumeMount:
    return models.VolumeMount(name="archive", mount_path=ARCHIVE, read_only=True)


def _key(volume: str) -> models.VolumeMount:
    return models.VolumeMount(name=volume, mount_path=KEYS, read_only=True)


def _claim(name: str, read_only: bool | None = None) -> models.PersistentVolumeClaimVolumeSource:
    return models.PersistentVolumeClaimVolumeSource(claim_name=name, read_only=read_only)


def _secret(name: str, optional: bool | None = None) -> models.SecretVolumeSource:
    return models.SecretVolumeSource(secret_name=name, default_mode=0o440, optional=optional)

"""Makes this checkout able to run: prerequisites, virtual environment, generated protos, the broker's jars.

Runs with nothing but the standard library, before there is a virtual environment: `python3.11 infra/prepare.py`."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
BOOTSTRAP = ROOT / "requirements" / "bootstrap.txt"
LOCK = ROOT / "requirements" / "dev.txt"
STAMPS = ROOT / ".cache" / "stamps"
KUBECONFORM = "github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0"
TOOLS = ROOT / ".cache" / "tools" / KUBECONFORM.rpartition("/")[2]
APT = {"java": "openjdk-17-jre-headless", "mvn": "maven", "make": "make", "venv": "python3.11-venv"}
# Settings of pip that mean the same to uv, so that whoever taught pip where packages come from need not say it twice.
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


def main() -> int:
    missing = missing_prerequisites()
    if missing:
        print("missing before anything can run here:\n  " + "\n  ".join(missing), file=sys.stderr)
        return 1
    try:
        once("environment", [BOOTSTRAP, LOCK], make_environment, needs=PYTHON)
        once("protos", [*sorted((ROOT / "protos").rglob("*.proto")), LOCK], generate_protos, needs=None)
        run([str(PYTHON), "-m", "infra.kafka", "fetch"])
        build_kubeconform()
    except subprocess.CalledProcessError as error:
        print(f"failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    return 0


def missing_prerequisites() -> list[str]:
    """What this machine lacks, each with the one line that brings it (Debian, Ubuntu)."""
    missing = []
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        missing.append(
            f"Linux on x86_64 (this is {platform.system()} on {platform.machine()}): there is no line for that"
        )
    if sys.version_info[:2] != (3, 11):
        missing.append(
            f"Python 3.11 (this is {platform.python_version()}): sudo apt-get install python3.11 python3.11-venv"
        )
    if java_version() < 17:
        missing.append(f"Java 17 or newer: sudo apt-get install {APT['java']}")
    for program in ("mvn", "make"):
        if shutil.which(program) is None:
            missing.append(f"{program}: sudo apt-get install {APT[program]}")
    if subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True).returncode != 0:
        missing.append(f"Python's venv: sudo apt-get install {APT['venv']}")
    return missing


def java_version() -> int:
    """The major version of the Java that would be run; 0 without one."""
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    if java is None or not Path(java).exists():
        return 0
    said = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found.group(1)) if found else 0


def once(name: str, inputs: Sequence[Path], action: Callable[[], None], needs: Path | None) -> None:
    """Act only when an input changed since the last time, or the result is gone."""
    stamp = STAMPS / name
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    if stamp.exists() and stamp.read_text() == digest and (needs is None or needs.exists()) and results_there(name):
        return
    action()
    STAMPS.mkdir(parents=True, exist_ok=True)
    stamp.write_text(digest)


def results_there(name: str) -> bool:
    if name != "protos":
        return True
    return all(path.with_name(f"{path.stem}_pb2.py").exists() for path in (ROOT / "protos").rglob("*.proto"))


def make_environment() -> None:
    """The virtual environment with exactly the locked packages, each checked by its hash."""
    print("setting up .venv from requirements/dev.txt", flush=True)
    if not PYTHON.exists():
        run([sys.executable, "-m", "venv", str(VENV)])
    run([str(PYTHON), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(BOOTSTRAP)])
    sync = [str(VENV / "bin" / "uv"), "pip", "sync", "--python", str(PYTHON), "--require-hashes", str(LOCK)]
    run(sync, {**os.environ, **uv_settings()})


def uv_settings() -> dict[str, str]:
    """The user's pip configuration in uv's words; what is already said to uv itself stays."""
    found: dict[str, str] = {}
    for name, value in pip_configuration(str(PYTHON)):
        setting = PIP_TO_UV.get(name)
        is_lost_folder = setting == "UV_FIND_LINKS" and "://" not in value and not Path(value).is_dir()
        if setting and setting not in os.environ and not is_lost_folder:
            found[setting] = value
    return found


def pip_configuration(python: str) -> Iterator[tuple[str, str]]:
    """What pip was taught, by environment or file, as (setting, value), without what is empty."""
    said = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    for line in said.splitlines():
        name, _, value = line.partition("=")
        value = value.strip("'\"").replace("\\n", " ")
        if value:
            yield name.rpartition(".")[2], value


def generate_protos() -> None:
    """Python code and type stubs beside each .proto file."""
    print("generating protos", flush=True)
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "protos").rglob("*.proto"))
    outputs = ["--python_out=.", "--pyi_out=.", "--grpc_python_out=.", "--mypy_grpc_out=quiet,only_sync:."]
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    run([str(PYTHON), "-m", "grpc_tools.protoc", "-I.", *outputs, *files], {**os.environ, "PATH": path})


def kubeconform() -> str | None:
    """Where kubeconform is, which checks objects against Kubernetes' schemas: on PATH, or built by set-up."""
    ours = TOOLS / "kubeconform"
    return shutil.which("kubeconform") or (str(ours) if ours.exists() else None)


def build_kubeconform() -> None:
    """Built once where Go is there; nothing but the chart's tests needs it, so that its absence stops nobody."""
    if kubeconform() is not None or shutil.which("go") is None:
        return
    print(f"building {KUBECONFORM}, once", flush=True)
    built = subprocess.run(["go", "install", KUBECONFORM], env={**os.environ, "GOBIN": str(TOOLS)})
    if built.returncode != 0:
        print("kubeconform could not be built: the chart's tests that need it are left out", file=sys.stderr)


def run(argv: Sequence[str], env: dict[str, str] | None = None) -> None:
    subprocess.run(argv, cwd=ROOT, env=env, check=True)


if __name__ == "__main__":
    sys.exit(main())

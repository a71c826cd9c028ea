"""Builds the platform's images, one after the other, and says how large each became: `python -m infra.images`."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from infra.prepare import ROOT, pip_configuration

LAST_LINES = 30
# Settings of pip that a build needs too, wherever this user has them (environment, pip.conf).
PIP_SETTINGS = {
    "index-url": "PIP_INDEX_URL",
    "extra-index-url": "PIP_EXTRA_INDEX_URL",
    "trusted-host": "PIP_TRUSTED_HOST",
    "timeout": "PIP_DEFAULT_TIMEOUT",
    "default-timeout": "PIP_DEFAULT_TIMEOUT",
    "retries": "PIP_RETRIES",
}
# What a build's last lines say, and what helps against it.
REMEDIES = (
    ("CERTIFICATE_VERIFY_FAILED", "the base image does not know your registry's certificate: BASE=an image that does"),
    (
        "Temporary failure in name resolution",
        "the build has no network: BUILD_OPTIONS='--network host' may give it one",
    ),
    ("NewConnectionError", "the build has no network: BUILD_OPTIONS='--network host' may give it one"),
    ("No space left on device", "the disk is full: `docker system df` says of what"),
    ("pull access denied", "the base image cannot be pulled: `docker login`, or BASE=one that can"),
    ("No such image", "a prune took a layer away while it was in use: run it again"),
    ("manifest unknown", "the base image has no such tag: BASE=one that is there"),
)


class ImagesProblem(Exception):
    """No image could be built or loaded; the message says why and what helps."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image of the platform: `name` is the component's, `dockerfile` relative to the root."""

    name: str
    dockerfile: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Built:
    reference: str
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose: the tag, what stands before the names, the base and further options of `docker build`."""

    tag: str
    registry: str = ""
    base: str = ""
    options: tuple[str, ...] = ()
    load: str = ""

    def reference(self, image: Image) -> str:
        registry = f"{self.registry.rstrip('/')}/" if self.registry else ""
        return f"{registry}trading-platform/{image.name}:{self.tag}"


def all_images() -> list[Image]:
    """Every service of the tree, the pipelines and the registry's server."""
    names = sorted(path.parent.name.replace("_", "-") for path in ROOT.glob("services/*/__main__.py"))
    services = [Image(name, "services/Dockerfile", (f"SERVICE={name}",)) for name in names]
    return [*services, Image("pipelines", "pipelines/Dockerfile"), Image("mlflow", "infra/mlflow/Dockerfile")]


def chosen_images(only: str) -> list[Image]:
    """Those named, separated by commas or spaces; all without a name. Raises `ImagesProblem` for an unknown one."""
    images = {image.name: image for image in all_images()}
    names = only.replace(",", " ").replace("_", "-").split() or list(images)
    unknown = [name for name in names if name not in images]
    if unknown:
        raise ImagesProblem(f"no image is named {', '.join(unknown)}; there are {', '.join(images)}")
    return [images[name] for name in names]


def version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def check_docker() -> None:
    if shutil.which("docker") is None:
        raise ImagesProblem("docker is missing: sudo apt-get install docker.io")
    said = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True)
    if said.returncode != 0:
        reason = said.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise ImagesProblem(f"docker is installed but does not answer: {reason[0]}")


def build_env() -> dict[str, str]:
    """This environment with pip's settings; the classic builder where BuildKit's program is not installed."""
    env = {**pip_settings(), **os.environ}
    if "DOCKER_BUILDKIT" not in env and subprocess.run(["docker", "buildx", "version"], capture_output=True).returncode:
        env["DOCKER_BUILDKIT"] = "0"
    return env


def pip_settings() -> dict[str, str]:
    """Where this user's packages come from, as build arguments. None of them is kept in an image that is built."""
    return {PIP_SETTINGS[name]: value for name, value in pip_configuration(sys.executable) if name in PIP_SETTINGS}


def build_argv(image: Image, choice: Choice, env: dict[str, str]) -> list[str]:
    """The command line; values that may hold a password reach the builder by its environment, not by its arguments."""
    settings = sorted({*PIP_SETTINGS.values()} & env.keys())
    arguments = [
        *image.arguments,
        f"VERSION={choice.tag}",
        *([f"BASE={choice.base}"] if choice.base else []),
        *settings,
    ]
    flags = [part for argument in arguments for part in ("--build-arg", argument)]
    plain = [] if env.get("DOCKER_BUILDKIT") == "0" else ["--progress=plain"]
    reference = ["--file", image.dockerfile, "--tag", choice.reference(image)]
    return ["docker", "build", *plain, *choice.options, *flags, *reference, "."]


def build(image: Image, choice: Choice, env: dict[str, str]) -> Built:
    """Build one image. Raises `ImagesProblem` with the last lines of the build."""
    started = time.monotonic()
    argv = build_argv(image, choice, env)
    process = subprocess.Popen(
        argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    last: deque[str] = deque(maxlen=LAST_LINES)
    for line in process.stdout or ():
        last.append(line.rstrip())
        show_step(image.name, line)
    show_step(image.name, "")
    if process.wait() != 0:
        raise ImagesProblem(f"{choice.reference(image)} was not built; the last lines:\n{failure(last)}")
    return Built(choice.reference(image), size(choice.reference(image)), time.monotonic() - started)


def failure(lines: Sequence[str]) -> str:
    text = "\n".join(f"  {line}" for line in lines)
    helps = dict.fromkeys(remedy for sign, remedy in REMEDIES if sign in text)
    return "\n".join([text, *helps])


def show_step(name: str, line: str) -> None:
    """On a terminal the step that is being done, in one line that is written over."""
    if not sys.stdout.isatty():
        return
    print("\r\033[K", end="", flush=True)
    if line.startswith(("Step ", "#")):
        print(f"  {name}: {line.strip()}"[: shutil.get_terminal_size().columns - 1], end="", flush=True)


def size(reference: str) -> int:
    """Bytes of the image as it lies unpacked, with its base."""
    argv = ["docker", "image", "inspect", "--format", "{{.Size}}", reference]
    return int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def load(reference: str, command: str) -> None:
    """Run the command that brings an image where it is to run; `{image}` in it stands for the image."""
    argv = [part.replace("{image}", reference) for part in shlex.split(command)]
    try:
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    except OSError as error:
        raise ImagesProblem(f"LOAD={command!r} cannot be run: {error.strerror}: {error.filename}") from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        raise ImagesProblem(f"{reference} is built but was not loaded: {shlex.join(argv)} says:\n{said}")


def table(built: Sequence[Built]) -> str:
    width = max(len(row.reference) for row in built)
    head = f"{'image':{width}}  {'size':>9}  {'seconds':>7}"
    rows = [f"{row.reference:{width}}  {row.bytes / 1e6:>6.0f} MB  {row.seconds:>7.0f}" for row in built]
    return "\n".join([head, *rows])


def run(images: Sequence[Image], choice: Choice) -> list[Built]:
    """Build and load; what was done before a failure is printed before it is raised."""
    check_docker()
    env = build_env()
    built: list[Built] = []
    try:
        for number, image in enumerate(images, 1):
            print(f"[{number}/{len(images)}] {choice.reference(image)}", flush=True)
            built.append(build(image, choice, env))
            print(f"      built in {built[-1].seconds:.0f} s", flush=True)
            if choice.load:
                load(choice.reference(image), choice.load)
                print("      loaded", flush=True)
    finally:
        if built:
            print(table(built), flush=True)
    return built


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.images", description=__doc__)
    parser.add_argument("--only", default="", help="names of images, separated by commas")
    parser.add_argument("--tag", default=version(), help="default: the version in pyproject.toml")
    parser.add_argument("--registry", default="", help="what stands before trading-platform/")
    parser.add_argument("--base", default="", help="the base image")
    parser.add_argument("--build-options", default="", help="further options of `docker build`")
    parser.add_argument("--load", default="", help="a command for each image; {image} stands for its name")
    chosen = parser.parse_args(arguments)
    options = tuple(shlex.split(chosen.build_options))
    try:
        run(chosen_images(chosen.only), Choice(chosen.tag, chosen.registry, chosen.base, options, chosen.load))
    except ImagesProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

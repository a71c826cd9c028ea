"""Settings of a process: read once from its own environment names, frozen, with typing mistakes refused."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.runtime.kafka import Client, KafkaConfig


class SettingsProblem(SystemExit):
    """Settings that a person has to change; a process that does not catch it ends with code 1 and the message."""


class KafkaSettings(BaseModel):
    """Which broker, through which client, under which environment's topic prefix."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap: str = Field(pattern=r"^[^\s,]+:\d+(,[^\s,]+:\d+)*$")
    client: Client = "confluent"
    topic_prefix: str = ""

    def config(self) -> KafkaConfig:
        return KafkaConfig(self.bootstrap, self.client, self.topic_prefix)


class TracingSettings(BaseModel):
    """Where spans go over OTLP/HTTP (empty: nowhere, at no cost), and of which share of frames (0..1) traces are made.

    An endpoint without a path gets the usual one, /v1/traces."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str = Field(default="", pattern=r"^(https?://[^\s/]+\S*)?$")
    ratio: float = Field(default=0.01, ge=0.0, le=1.0)


class ServiceSettings(BaseSettings):
    """What every service is told. A service derives its own and sets `env_prefix`; nested names are joined by `__`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_nested_delimiter="__")

    grpc_port: int = Field(ge=1, le=65535)
    metrics_port: int = Field(ge=1, le=65535)
    host: str = "127.0.0.1"
    kafka: KafkaSettings
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    tracing: TracingSettings = TracingSettings()

    @classmethod
    def load(cls, prefix: str | None = None) -> Self:
        """Read the environment names that start with `prefix` (default: the class's `env_prefix`).

        Raises `SettingsProblem` that names every unknown name (with the nearest known one) or every wrong value."""
        prefix = prefix if prefix is not None else str(cls.model_config.get("env_prefix", ""))
        known = [prefix + name for name in environment_names(cls)]
        problems = [f"  {name}: unknown{_nearest(name, known)}" for name in unknown_names(os.environ, prefix, known)]
        read: Callable[..., Self] = cls  # its own options are not in the signature that type checkers see
        if not problems:
            try:
                return read(_env_prefix=prefix)
            except ValidationError as error:
                problems = [f"  {prefix}{_spelled(item['loc'])}: {item['msg']}" for item in error.errors()]
        raise SettingsProblem(f"settings of {prefix.rstrip('_').lower()}:\n" + "\n".join(problems))


def environment_names(model: type[BaseModel]) -> Iterator[str]:
    """Every environment name of a settings class, without its prefix; a nested one may also be given whole, as JSON."""
    for name, field in model.model_fields.items():
        yield name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from (f"{name.upper()}__{inner}" for inner in environment_names(field.annotation))


def unknown_names(environ: Mapping[str, str], prefix: str, known: list[str]) -> list[str]:
    """Names that carry the prefix and mean nothing; entries below a mapping field (`FIELD__key`) belong to it."""
    leaves = {name for name in known if not any(other.startswith(f"{name}__") for other in known)}
    return sorted(
        name
        for name in environ
        if name.upper().startswith(prefix.upper())
        and name.upper() not in known
        and not any(name.upper().startswith(f"{leaf}__") for leaf in leaves)
    )


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
    return f", did you mean {near[0]}?" if near else ""


def _spelled(location: tuple[int | str, ...]) -> str:
    return "__".join(str(part) for part in location).upper()

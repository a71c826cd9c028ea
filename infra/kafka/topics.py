"""Creates the topics of protos/topics.yaml, each under an environment's prefix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

TOPICS_FILE = Path(__file__).parents[2] / "protos" / "topics.yaml"
DAY_MS = 24 * 60 * 60 * 1000
DEAD_RETENTION_DAYS = 30
BROKER_SECONDS = 20.0


class TopicsProblem(Exception):
    """Topics that cannot be created or are there in another shape; the message names each."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it has to be on the broker; `configs` are the broker's own names."""

    name: str
    partitions: int
    configs: tuple[tuple[str, str], ...]


def declared_topics(file: Path = TOPICS_FILE) -> list[Topic]:
    """Every topic of the list, and `<name>.dead` for those that have one."""
    topics = []
    for row in yaml.safe_load(file.read_text())["topics"]:
        topics.append(Topic(row["name"], row["partitions"], retention(row["retention"])))
        if row["dead"]:
            topics.append(Topic(f"{row['name']}.dead", 1, retention(DEAD_RETENTION_DAYS)))
    return topics


def retention(kept: int | str) -> tuple[tuple[str, str], ...]:
    """Days, "latest" (compacted) or "forever" as broker settings; record time is always the time of writing."""
    time_of_writing = ("message.timestamp.type", "LogAppendTime")
    match kept:
        case "latest":
            return (("cleanup.policy", "compact"), time_of_writing)
        case "forever":
            return (("cleanup.policy", "delete"), ("retention.ms", "-1"), time_of_writing)
        case int(days):
            return (("cleanup.policy", "delete"), ("retention.ms", str(days * DAY_MS)), time_of_writing)
    raise TopicsProblem(f"{TOPICS_FILE.name}: retention {kept!r} is neither days, 'latest' nor 'forever'")


def create_topics(
    bootstrap: str, prefix: str = "", replication: int = -1, topics: list[Topic] | None = None
) -> list[str]:
    """Create what is missing and return its full names; -1 takes the broker's own replication factor.

    Raises `TopicsProblem` for a broker that does not answer or an existing topic with other partitions; another
    retention is left as its operator set it."""
    wanted = {prefix + topic.name: topic for topic in topics or declared_topics()}
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap.split(","), client_id="topics", bootstrap_timeout_ms=BROKER_SECONDS * 1000
        )
    except KafkaError as error:
        raise TopicsProblem(f"no Kafka broker answers at {bootstrap}: {error}") from error
    try:
        there = set(admin.list_topics())
        same = sorted(there & set(wanted))
        check_shape(admin.describe_topics(same) if same else [], wanted)
        missing = {name: topic for name, topic in wanted.items() if name not in there}
        if missing:
            create(admin, {name: request(topic, replication) for name, topic in missing.items()})
        return sorted(missing)
    except KafkaError as error:
        raise TopicsProblem(f"topics could not be created at {bootstrap}: {error}") from error
    finally:
        admin.close()


def create(admin: KafkaAdminClient, requests: dict[str, dict[str, Any]]) -> None:
    """Create topics and wait until each has a leader; of two that create at once the later one finds it done."""
    answer = admin.create_topics(requests, raise_errors=False)
    refused = [row for row in answer["topics"] if row["error_code"] not in (0, TopicAlreadyExistsError.errno)]
    if refused:
        raise TopicsProblem("; ".join(f"{row['name']}: {row['error_message']}" for row in refused))
    admin.wait_for_topics(list(requests))


def request(topic: Topic, replication: int) -> dict[str, Any]:
    return {"num_partitions": topic.partitions, "replication_factor": replication, "configs": dict(topic.configs)}


def check_shape(found: list[dict[str, Any]], wanted: dict[str, Topic]) -> None:
    shapes = [(row["name"], len(row["partitions"]), wanted[row["name"]].partitions) for row in found]
    wrong = [
        f"{name} has {has} partitions, {TOPICS_FILE.name} wants {wants}" for name, has, wants in shapes if has != wants
    ]
    if wrong:
        raise TopicsProblem(
            "; ".join(wrong) + ": keys would move between partitions. Delete the topic, or use another topic prefix"
        )

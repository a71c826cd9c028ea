"""protos/topics.yaml, the messages it names and a real broker say the same."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource

from infra.kafka.topics import DAY_MS, TOPICS_FILE, Topic, TopicsProblem, create_topics, declared_topics
from libs.runtime.kafka import KafkaConfig
from libs.wire.payload import PAYLOADS

ROWS: list[dict[str, Any]] = yaml.safe_load(TOPICS_FILE.read_text())["topics"]
FIELDS = {"name", "key", "payload", "partitions", "retention", "archive", "dead"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_row_is_complete_and_its_payload_is_a_message(row: dict[str, Any]) -> None:
    assert set(row) == FIELDS
    package, _, message = row["payload"].rpartition(".")
    folder = package.replace(".", "/")
    module = importlib.import_module(f"protos.{package}.{folder.split('/')[0]}_pb2")
    assert module.DESCRIPTOR.package == package
    assert message in module.DESCRIPTOR.message_types_by_name


def test_what_is_written_and_read_is_what_the_list_says() -> None:
    assert {row["name"]: row["payload"] for row in ROWS} == PAYLOADS


def test_names_are_unique_and_never_those_of_dead_topics() -> None:
    names = [topic.name for topic in declared_topics()]
    assert len(names) == len(set(names))
    assert not any(row["name"].endswith(".dead") for row in ROWS)


def test_what_belongs_to_one_key_and_flows_on_has_the_same_partitions() -> None:
    partitions = {row["name"]: row["partitions"] for row in ROWS}
    assert partitions["market.events"] == partitions["features.vectors"] == partitions["predictions"]


def test_the_broker_has_each_topic_as_the_list_says(kafka_prefix: KafkaConfig) -> None:
    wanted = {kafka_prefix.own(topic.name): topic for topic in declared_topics()}
    with KafkaAdminClient(bootstrap_servers=kafka_prefix.bootstrap) as admin:
        shapes = {row["name"]: len(row["partitions"]) for row in admin.describe_topics(sorted(wanted))}
        configs = admin.describe_configs([ConfigResource("topic", name) for name in wanted])
    assert shapes == {name: topic.partitions for name, topic in wanted.items()}
    for name, topic in wanted.items():
        found = configs["topic"][name] if "topic" in configs else configs[name]
        for setting, value in topic.configs:
            assert found[setting]["value"] == value, (name, setting)


def test_creating_again_changes_nothing(kafka_prefix: KafkaConfig) -> None:
    assert create_topics(kafka_prefix.bootstrap, kafka_prefix.topic_prefix) == []


def test_an_existing_topic_with_other_partitions_is_refused(kafka_prefix: KafkaConfig) -> None:
    other = [Topic("predictions", 7, ())]
    with pytest.raises(TopicsProblem, match=r"predictions has 4 partitions, topics.yaml wants 7.*topic prefix"):
        create_topics(kafka_prefix.bootstrap, kafka_prefix.topic_prefix, topics=other)


def test_a_prefix_that_no_topic_may_have_is_refused_in_words(kafka: KafkaConfig) -> None:
    with pytest.raises(TopicsProblem, match="ASCII alphanumerics"):
        create_topics(kafka.bootstrap, "no spaces please.")


def test_retention_in_days_is_milliseconds_on_the_broker() -> None:
    configs = {topic.name: dict(topic.configs) for topic in declared_topics()}
    assert configs["market.events"]["retention.ms"] == str(7 * DAY_MS)
    assert configs["features.latest"] == {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"}
    assert configs["models.events"]["retention.ms"] == "-1"

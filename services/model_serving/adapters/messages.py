"""Vectors and predictions between rpc messages and values, with the service's own error for a malformed one."""

from __future__ import annotations

from libs.trading.features.vector import FeatureVector
from libs.wire.features import vector_value
from libs.wire.malformed import MalformedMessage
from libs.wire.predictions import prediction_message
from protos.features.v1 import features_pb2
from services.model_serving.ports import MalformedVector

__all__ = ["prediction_message", "vector_of"]


def vector_of(message: features_pb2.FeatureVector) -> FeatureVector:
    """Raises MalformedVector that says which field is wrong."""
    try:
        return vector_value(message)
    except MalformedMessage as error:
        raise MalformedVector(str(error)) from error

"""The members of ProductionEnsemble, by name, in the order in which their weights are kept."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.retrain.adapters.catboost_member import CatBoostMember
from pipelines.retrain.adapters.forest import Member
from pipelines.retrain.adapters.lightgbm_member import LightGbmMember
from pipelines.retrain.adapters.xgboost_member import RandomForestMember, XgboostMember

MEMBERS: Mapping[str, Member] = {
    member.name: member for member in (LightGbmMember(), XgboostMember(), CatBoostMember(), RandomForestMember())
}

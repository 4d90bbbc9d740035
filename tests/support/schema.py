"""The published schema of every event, where it is at hand: ``shared/protocol`` beside the repository."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[3] / "shared" / "protocol" / "openai-realtime.schema.json"


@cache
def _validators(union: str) -> dict[str, Any]:
    """Return a validator per event type, told apart by ``type`` alone; empty where there is no schema."""
    if not SCHEMA.is_file():
        return {}
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT202012

    whole = json.loads(SCHEMA.read_text("utf-8"))
    resource = Resource.from_contents({"$defs": whole["$defs"]}, default_specification=DRAFT202012)
    registry = Registry().with_resource("urn:realtime", resource)
    found = {}
    for case in whole["$defs"][union]["allOf"]:
        name = case["if"]["properties"]["type"]["const"]
        reference = {"$ref": f"urn:realtime{case['then']['$ref']}"}
        found[name] = Draft202012Validator(reference, registry=registry)
    return found


def check_server_event(event: dict[str, Any], dialect: str = "ga") -> None:
    """Assert that an event of the server fits the published schema of its type."""
    validators = _validators("GAServerEvent" if dialect == "ga" else "BetaServerEvent")
    if not validators:
        return
    assert event["type"] in validators, f"the protocol has no {event['type']}"
    errors = [f"{e.json_path}: {e.message}" for e in validators[event["type"]].iter_errors(event)]
    assert not errors, f"{event['type']}: {errors}"

"""
Documents and events held against their schema files, and the files against what they may say.

A small part of JSON Schema 2020-12: what the files use, and no more. Stricter in one way: a key
that the schema does not list is an error, so that the files stay whole.
"""

import json
import re
from functools import cache
from pathlib import Path

import keeper.schemas

FOLDER = Path(keeper.schemas.__file__).parent
KNOWN = {
    "$schema", "$id", "$defs", "$ref", "title", "description", "type", "properties", "required",
    "items", "enum", "const", "pattern", "anyOf", "additionalProperties", "minimum",
}  # fmt: skip
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}


@cache
def schema_of(name):
    """Read a schema file; ``events/`` before an event's name."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def check_document(document):
    """Hold a command's document against the schema that it names; return it."""
    kind = re.fullmatch(r"keeper/([a-z-]+)/v1", document["schema"])
    assert kind, document["schema"]
    return checked(document, f"{kind.group(1)}")


def check_event(event):
    """Hold a line of a run against its event's schema; return it."""
    return checked(event, f"events/{event['event']}")


def checked(value, name):
    """Hold a value against a schema file; return it."""
    schema = schema_of(name)
    problems = list(_problems(value, schema, schema, name))
    assert not problems, problems
    return value


def _problems(value, schema, root, where):
    if "$ref" in schema:
        yield from _problems(value, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root, where)
        return
    if "anyOf" in schema:
        found = [list(_problems(value, one, root, where)) for one in schema["anyOf"]]
        if all(found):
            yield from min(found, key=len)
        return
    own = list(_of_itself(value, schema, where))
    yield from own
    if not own and isinstance(value, dict):
        yield from _members(value, schema, root, where)
    if not own and isinstance(value, list) and "items" in schema:
        for at, one in enumerate(value):
            yield from _problems(one, schema["items"], root, f"{where}[{at}]")


def _of_itself(value, schema, where):
    if "const" in schema and value != schema["const"]:
        yield f"{where}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    if "type" in schema and not _is_of(value, schema["type"]):
        yield f"{where}: {value!r} is no {schema['type']}"
    elif "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where}: {value!r} is not like {schema['pattern']}"
    elif "minimum" in schema and isinstance(value, int) and value < schema["minimum"]:
        yield f"{where}: {value!r} is less than {schema['minimum']}"


def _members(value, schema, root, where):
    listed, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{where}: {name} is missing"
    for name, one in value.items():
        if name in listed:
            yield from _problems(one, listed[name], root, f"{where}.{name}")
        elif others is None:
            yield f"{where}: {name} is not in the schema"
        elif others is not True:
            yield from _problems(one, others, root, f"{where}.{name}")


def _is_of(value, kinds):
    names = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(value, bool):
        return "boolean" in names
    if isinstance(value, int):
        return "integer" in names
    return any(isinstance(value, TYPES[one]) for one in names if one in TYPES)

"""The shape of a result: tests/perf/results/schema.json, in the part of JSON Schema that it needs: type, properties,
required, additionalProperties, items, enum, const, anyOf and $ref into $defs."""
import json
from pathlib import Path

PATH = Path(__file__).resolve().parents[2] / "perf" / "results" / "schema.json"
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def is_type(value, name):
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def walk(value, schema, root, where):
    """What is wrong, one text each."""
    if "$ref" in schema:
        return walk(value, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root, where)
    if "anyOf" in schema:
        tried = [walk(value, one, root, where) for one in schema["anyOf"]]
        return [] if any(not wrong for wrong in tried) else min(tried, key=len)
    if "const" in schema and value != schema["const"]:
        return [f"{where}: expected {schema['const']!r}, got {value!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: expected one of {', '.join(map(str, schema['enum']))}, got {value!r}"]
    names = schema.get("type", [])
    names = [names] if isinstance(names, str) else names
    if names and not any(is_type(value, name) for name in names):
        return [f"{where}: expected {' or '.join(names)}, got {type(value).__name__}"]
    wrong = []
    if isinstance(value, dict):
        known = schema.get("properties", {})
        wrong += [f"{where}: expected '{name}', got none" for name in schema.get("required", []) if name not in value]
        for name, one in value.items():
            rest = schema.get("additionalProperties", True)
            if name in known:
                wrong += walk(one, known[name], root, f"{where}.{name}")
            elif rest is False:
                wrong.append(f"{where}: expected one of {', '.join(known)}, got '{name}'")
            elif isinstance(rest, dict):
                wrong += walk(one, rest, root, f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for n, one in enumerate(value):
            wrong += walk(one, schema["items"], root, f"{where}[{n}]")
    return wrong


def check(result, path=PATH):
    schema = json.loads(Path(path).read_text())
    return walk(result, schema, schema, "result")

"""The GraphQL operations that the installed client carries: in its core, a binary, and in its Python files."""

import ast
import re
from pathlib import Path

import wandb
from graphql import GraphQLError, OperationDefinitionNode, parse

PACKAGE = Path(wandb.__file__).parent
_BEGIN = re.compile(rb"(?:query|mutation) [A-Z]\w* ?[({]")
_FRAGMENT = re.compile(r"\s*fragment \w+ on \w+ (?={)")
_PLACEHOLDERS = {"_PROJECT_QUERY_": "project { id name entity { id name } }"}


def of_the_core():
    """The operations in the binary, by name."""
    data = (PACKAGE / "bin" / "wandb-core").read_bytes()
    found = {}
    for match in _BEGIN.finditer(data):
        text = _whole(data[match.start() : match.start() + 8000].decode("ascii", "replace"))
        found |= _named(text)
    return found


def of_the_python_files():
    """The operations in the strings of the Python files, by name; those that are put together are made whole."""
    found = {}
    fragments = _fragments()
    for path in sorted(PACKAGE.rglob("*.py")):
        if "vendor" in path.parts:
            continue
        for text in _strings(path):
            if re.search(r"\b(query|mutation)\s+[A-Za-z]\w*\s*[({]", text):
                found |= _named(_filled(text, fragments))
    return found


def _named(text):
    try:
        document = parse(text)
    except GraphQLError:
        return {}
    names = [
        node.name.value
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode) and node.name
    ]
    return {name: document for name in names}


def _whole(text):
    """The operation at the beginning of a text, and the fragments behind it."""
    end = _end_of_block(text, text.index("{"))
    while found := _FRAGMENT.match(text, end):
        end = _end_of_block(text, found.end())
    return text[:end]


def _end_of_block(text, begin):
    depth = 0
    for place in range(begin, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place + 1
    return len(text)


def _strings(path):
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [
                part.value if isinstance(part, ast.Constant) else "{" + ast.unparse(part.value) + "}"
                for part in node.values
            ]
            # An f-string has its braces already; a template of str.format has them doubled.
            yield "".join(
                part.replace("{", "{{").replace("}", "}}") if isinstance(node_, ast.Constant) else part
                for part, node_ in zip(parts, node.values, strict=True)
            )


def _fragments():
    found = {}
    for name in ("runs", "files"):
        for text in _strings(PACKAGE / "apis" / "public" / f"{name}.py"):
            if match := re.match(r"\s*fragment (\w+) on", text):
                found[match[1]] = text
    return found


def _filled(text, fragments):
    """An operation whose placeholders are filled in as the client does."""
    for placeholder, value in _PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    if "{{" in text:
        text = re.sub(r"(?<!{){fragment_name}(?!})", "RunFragment", text)
        text = re.sub(r"(?<!{){(fragment|RUN_FRAGMENT|FILE_FRAGMENT|)}(?!})", "", text)
        text = text.replace("{{", "{").replace("}}", "}")
    used = set(re.findall(r"\.\.\.\s*(\w+Fragment)\b", text))
    missing = [fragments[name] for name in sorted(used & set(fragments)) if f"fragment {name} on" not in text]
    return "\n".join([text, *missing])

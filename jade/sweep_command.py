"""The command of a sweep: which words it may have, and what `wandb agent` makes of them.

Knows the agent's macros and nothing of JADE's flags. `sweep_file` has words checked here, and
`sweep_program` asks what a trial is started with.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jade import scalars
from jade.errors import ConfigError, nearest

ARGS_MACROS = (
    "args",
    "args_no_hyphens",
    "args_no_equals",
    "args_no_boolean_flags",
    "args_json",
    "args_json_file",
    "args_append_hydra",
    "args_override_hydra",
)
MACROS = ("env", "interpreter", "program", *ARGS_MACROS)
DEFAULT = ("${env}", "${interpreter}", "${program}", "${args}")
# The only one that may be a part of a word.
_ENVVAR = re.compile(r"\$\{envvar:([A-Z0-9_]+)\}")
_MACRO = re.compile(r"\$\{(?P<name>[^}]*)\}")
_UNBRACED = re.compile(r"\$(?P<name>\w+)")


def faults(word: object, where: str) -> Iterator[ConfigError]:
    """Yield what is wrong with one word of a command, as YAML has it."""
    if isinstance(word, bool | Mapping | list | None):
        items = word.items() if isinstance(word, Mapping) else ()
        meant = [f"${{{name}}}" if name in MACROS else f"{name}={value}" for name, value in items]
        yield ConfigError(
            f"A word of the command is {scalars.kind_of(word)}; text is expected.",
            where=where,
            hint="\n".join(f"- {word}" for word in meant) or None,
        )
        return
    text = _ENVVAR.sub("", str(word))
    if text.startswith("${") and text.endswith("}"):
        if text[2:-1] not in MACROS:
            yield _unknown(text, text[2:-1], where)
        return
    unbraced = _UNBRACED.fullmatch(text)
    if unbraced and unbraced["name"] in MACROS:
        yield ConfigError(
            f"{text} is no macro; the agent hands it on as it is.",
            where=where,
            hint=f"did you mean: ${{{unbraced['name']}}}",
        )
    for macro in _MACRO.finditer(text):
        if macro["name"] in MACROS:
            yield ConfigError(
                f"{macro[0]} is a part of the word {word!r}; the agent replaces whole words only.",
                where=where,
                hint=f"Make it a word of its own: - {macro[0]}",
            )


def _unknown(text: str, name: str, where: str) -> ConfigError:
    near = nearest(name, MACROS)
    hint = f"did you mean: ${{{near}}}\n" if near else ""
    hint += f"known: {', '.join(f'${{{macro}}}' for macro in MACROS)}, ${{envvar:NAME}}"
    if not near and name.isidentifier():
        hint += f"\nAn environment variable is written ${{envvar:{name.upper()}}}."
    return ConfigError(f"There is no macro {text}; the agent leaves such a word out.", where=where, hint=hint)


def unset(command: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the environment variables that a command names and that are not set."""
    return sorted({name for word in command for name in _ENVVAR.findall(word) if name not in environ})


def filled(
    command: Sequence[str],
    program: str,
    params: Mapping[str, Any],
    json_file: str,
    environ: Mapping[str, str],
) -> list[str]:
    """Return the words that the agent starts a trial with.

    Args:
        command: the words of the sweep file.
        program: what ${program} stands for.
        params: of the trial, by dotted key.
        json_file: the path that ${args_json_file} stands for.
        environ: the variables that ${envvar:NAME} may name; one that is not set stands for its name.
    """
    pairs = [f"{name}={value}" for name, value in params.items()]
    flags = {name: f"--{name}" if value is True else f"--{name}={value}" for name, value in params.items()}
    macros = {
        "env": ["env"] if os.name == "nt" else ["/usr/bin/env"],
        "interpreter": ["python"],
        "program": [program],
        "args": [f"--{pair}" for pair in pairs],
        "args_no_hyphens": pairs,
        "args_no_equals": [word for name, value in params.items() for word in (f"--{name}", str(value))],
        "args_no_boolean_flags": [flags[name] for name, value in params.items() if value is not False],
        "args_json": [json.dumps(params, default=str)],
        "args_json_file": [json_file],
        "args_append_hydra": [f"+{pair}" for pair in pairs],
        "args_override_hydra": [f"++{pair}" for pair in pairs],
    }
    words: list[str] = []
    for word in command:
        text = _ENVVAR.sub(lambda match: environ.get(match[1], match[1]), word)
        whole = text.startswith("${") and text.endswith("}")
        words += macros.get(text[2:-1], []) if whole else [text]
    return words

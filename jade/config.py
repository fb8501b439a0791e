"""YAML files, flags and sweeps to one checked configuration that knows where each value was written.

`compose` puts the three files together and `override` lets a flag or a sweep in; a file is read by
`yaml_file`. Nothing here imports torch or wandb, or looks for classes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jade import params, scalars
from jade.errors import ConfigError, JadeError, raise_all
from jade.yaml_file import Tree, read_yaml

SECTIONS = ("model", "data", "eval")
TOP = ("arch_impl", "seed", "epochs", "deterministic")
# Whose weights a run begins with, and which of them. What is at its default is in no configuration: most runs
# begin with their own, and those that were recorded before there was a choice did.
INIT: Mapping[str, Any] = {"init_from": "", "init_attributes": None, "init_partial": False}
_ARTICLES = {"data": "A data", "eval": "An evaluation"}
LARGEST_SEED = 2**32 - 1  # numpy takes no larger one

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    """What an experiment is: everything that changes its result.

    Attributes:
        values: nested; keys `model`, `data`, `eval`, `arch_impl`, `seed`, `epochs`, `deterministic`, and
            what is said of `init_from`, `init_attributes` and `init_partial`. Never changed in place.
        origins: for dotted keys, groups among them, where the value was written: `file:line`, a flag's name,
            "default" or "sweep".
        texts: the YAML file of each section as it was written.
        aliases: short keys that were read as whole ones, of which the user was told.
        variables: those of the environment that the files name, with the values that they had.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    texts: Mapping[str, str]
    aliases: frozenset[str] = frozenset()
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def flat(self) -> params.Flat:
        """The values under dotted keys."""
        return params.flatten(self.values)

    @property
    def declared(self) -> params.Flat:
        """What may be set: the values under dotted keys, and the defaults of those that say nothing."""
        flat = self.flat
        return {**flat, **{key: default for key, default in INIT.items() if key not in flat}}

    def where(self, key: str) -> str:
        """Return the place of `key`, or of the nearest group above it, as errors show it."""
        name = key
        while name and name not in self.origins:
            name = name.rpartition(".")[0]
        return f"{self.origins[name]} ({key})" if name else key


def compose(
    files: Mapping[str, Path],
    top: Mapping[str, tuple[Any, str]],
    overrides: Mapping[str, Any],
    environ: Mapping[str, str],
    given: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> Config:
    """Return the configuration of the three files with flags and overrides put in.

    Precedence, lowest first: YAML with the environment inside it, then flags, `given` and dotted overrides,
    then a sweep's values (`override`, once the tracker has them).

    Args:
        files: path of the YAML file of each of "model", "data" and "eval".
        top: value and origin of `arch_impl`, `seed`, `epochs` and `deterministic`, and of what a flag says
            about the weights that the run begins with.
        overrides: dotted key to typed value, from the command line.
        environ: the variables that `$NAME` in a file may name.
        given: more values, dotted or nested, each after the place where they were written.

    Raises:
        ConfigError: with all faults of the files, or else all faults of the overrides.
    """
    faults: list[JadeError] = []
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    texts: dict[str, str] = {}
    variables: dict[str, str] = {}
    for name in SECTIONS:
        try:
            tree = read_yaml(files[name], environ, name)
            values[name] = _section(name, tree)
            texts[name] = tree.text
            variables |= tree.variables
            if name == "model":
                values |= {key: tree.values[key] for key in INIT if key in tree.values}
                origins |= {key: tree.origins[key] for key in INIT if key in tree.origins}
        except ConfigError as fault:
            faults.append(fault)
            continue
        origins |= _origins(name, tree)
    raise_all(faults)
    for key, (value, origin) in top.items():
        values[key] = value
        origins[key] = origin
    config = Config(_without_defaults(values), origins, texts, variables=variables)
    _check(config)
    return override_all(config, given, overrides)


def section(name: str, path: Path, environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what one file describes, "model", "data" or "eval", and the origins of its keys.

    Raises:
        ConfigError: with all faults of the file.
    """
    tree = read_yaml(path, environ, name)
    return _section(name, tree), _origins(name, tree)


def _origins(section: str, tree: Tree) -> dict[str, str]:
    within = {f"{section}.{key}": origin for key, origin in tree.origins.items()}
    return {section: f"{tree.path}:1", **within}


def recorded(path: Path, texts: Mapping[str, str]) -> Config:
    """Return the configuration that a run wrote down.

    Args:
        path: of its `config.yml`.
        texts: the YAML files as they were written.

    Raises:
        ConfigError: if the file is not what a run writes.
    """
    tree = read_yaml(path, {})
    missing = [key for key in (*SECTIONS, *TOP) if key not in tree.values]
    if missing:
        raise ConfigError(f"{path} has no {', '.join(missing)}.", where=str(path))
    # What it does not say of init_from it has said: there was none.
    config = Config(_without_defaults(tree.values), {"init_from": str(path), **tree.origins}, texts)
    _check(config)
    return config


def override_all(
    config: Config, given: Sequence[tuple[str, Mapping[str, Any]]], overrides: Mapping[str, Any]
) -> Config:
    """Return `config` with the values of each place put in, and then the overrides of the command line.

    Raises:
        ConfigError: as `override` does, for all places at once.
    """
    faults: list[JadeError] = []
    for where, values in (*given, ("command line", overrides)):
        try:
            config = override(config, values, where)
        except ConfigError as fault:
            faults.append(fault)
    raise_all(faults)
    return config


def override(config: Config, given: Mapping[str, Any], where: str) -> Config:
    """Return `config` with the values of a command line or a sweep put in.

    Raises:
        ConfigError: if a key is not in the files or a value is of another kind; all at once.
    """
    declared = config.declared
    aliases = params.aliases(declared, given)
    for key, name in aliases.items():
        if key not in config.aliases:
            _log.warning("%s: %s is read as %s.", where, key, name)
    accepted = params.accept(declared, given, where)
    changed = {key: where for key, value in accepted.items() if not _same(value, declared[key])}
    overridden = replace(
        config,
        values=params.inflate(_without_defaults(accepted)),
        origins={**config.origins, **changed},
        aliases=config.aliases | aliases.keys(),
    )
    _check(overridden)
    return overridden


def _without_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values without what says nothing about the weights that a run begins with."""
    return {
        key: value
        for key, value in values.items()
        if key not in INIT or not (value is None or _same(value, INIT[key]))
    }


def _same(one: object, other: object) -> bool:
    # 1 and True, or 1 and 1.0, are equal in Python but not in a configuration; NaN is not equal to itself.
    return repr(one) == repr(other)


def _check(config: Config) -> None:
    """Refuse values that no kind of experiment can have; the kinds of all others were checked before."""
    faults: list[JadeError] = []
    names = ["arch_impl", "model.class"]
    names += [f"{section}.{name}.class" for section in ("data", "eval") for name in config.values[section]]
    flat = config.flat
    for key in names:
        if not (isinstance(flat[key], str) and flat[key].strip()):
            faults.append(
                ConfigError(f"{key} is {flat[key]!r}; a name is expected.", where=config.where(key))
            )
    for key, least, most in (("seed", 0, LARGEST_SEED), ("epochs", 1, None)):
        value = config.values[key]
        whole = isinstance(value, int) and not isinstance(value, bool)
        if whole and value >= least and (most is None or value <= most):
            continue
        bounds = f"a whole number from {least} to {most}" if most else f"a whole number of at least {least}"
        faults.append(ConfigError(f"{key} is {value!r}; it takes {bounds}.", where=config.where(key)))
    if not isinstance(config.values["deterministic"], bool):
        faults.append(
            ConfigError(
                f"deterministic is {config.values['deterministic']!r}; it takes true or false.",
                where=config.where("deterministic"),
            )
        )
    raise_all([*faults, *_init_faults(config)])


def _init_faults(config: Config) -> Iterator[ConfigError]:
    run, names = config.values.get("init_from", ""), config.values.get("init_attributes")
    if not isinstance(run, str):
        yield ConfigError(
            f"init_from is {run!r}; the name of a run is expected.",
            where=config.where("init_from"),
            hint="A name that looks like something else goes in quotes.",
        )
    is_list = isinstance(names, list) and names and all(isinstance(n, str) and n.strip() for n in names)
    if names is not None and not is_list:
        written = ", ".join(names.replace(",", " ").split()) if isinstance(names, str) else "encoder, decoder"
        yield ConfigError(
            f"init_attributes is {names!r}; a list of names is expected.",
            where=config.where("init_attributes"),
            hint=f"init_attributes: [{written}]; left out, every network is taken.",
        )
    if not isinstance(config.values.get("init_partial", False), bool):
        yield ConfigError(
            f"init_partial is {config.values['init_partial']!r}; it takes true or false.",
            where=config.where("init_partial"),
        )


def _section(section: str, tree: Tree) -> dict[str, Any]:
    """Return the checked description(s) of one file, with `params` filled in where absent."""
    faults: list[JadeError] = []
    if section == "model":
        described = {"": tree.values}
        if (
            tree.values
            and "class" not in tree.values
            and all(_is_description(v) for v in tree.values.values())
        ):
            raise ConfigError(
                "A model file describes one Trainer, but this one is a dictionary of descriptions.",
                where=f"{tree.path}:1",
                hint="Is it a data or evaluation file, given to --model_conf by mistake?",
            )
    else:
        described = tree.values
        if isinstance(tree.values.get("class"), str):
            raise ConfigError(
                f"{_ARTICLES[section]} file gives each of its names a class; this is a single description.",
                where=f"{tree.path}:1",
                hint=f"Is it a model file, given to --{section}_conf by mistake? Else put a name above it.",
            )
    for name, node in described.items():
        faults.extend(_description_faults(section, name, node, tree))
    raise_all(faults)
    checked = {
        name: {"class": node["class"], "params": node.get("params") or {}} for name, node in described.items()
    }
    return checked[""] if section == "model" else checked


def _is_description(node: object) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class"), str)


def _description_faults(section: str, name: str, node: object, tree: Tree) -> Iterator[ConfigError]:
    def where(key: str = "") -> str:
        inner = ".".join(part for part in (name, key) if part)
        place = tree.origins.get(inner) or tree.origins.get(name) or f"{tree.path}:1"
        return f"{place} ({'.'.join(part for part in (section, inner) if part)})"

    if not isinstance(node, dict):
        yield ConfigError(
            f"{section}.{name} is {scalars.kind_of(node)}; a description is expected.",
            where=where(),
            hint="A description is written\n  class: NameOfTheClass\n  params:\n    name: value",
        )
        return
    known = ("class", "params", *(INIT if section == "model" else ()))
    for key in node:
        if key not in known:
            yield ConfigError(
                f"A description has no key {key!r}.",
                where=where(key),
                wanted=key,
                choices=known,
                hint=f"If {key!r} is a parameter of the class, it belongs under params.",
            )
    if not (isinstance(node.get("class"), str) and node["class"].strip()):
        found = f"{node['class']!r} is no name of a class" if "class" in node else "There is no class"
        yield ConfigError(f"{found}.", where=where("class" if "class" in node else ""), hint="class: Name")
    if not isinstance(node.get("params"), dict | None):
        yield ConfigError(
            f"params is {scalars.kind_of(node['params'])}; a mapping of names to values is expected.",
            where=where("params"),
        )

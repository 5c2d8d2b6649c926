"""What a config can choose from: encoders with their settings, and networks of the zoo, from the code that they are."""

from __future__ import annotations

import inspect
import json
import re
import typing
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.config.schema import Schema
from ntupleml.models.encoders import ENCODERS
from ntupleml.models.networks import EVERY
from ntupleml.models.registries import require_name
from ntupleml.models.zoo import ADJUSTABLE, ZOO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ntupleml.models.networks import Network

_COMMENT = re.compile(r"((?: +#: .*\n)+) +(\w+): ")


class Setting(NamedTuple):
    """A key of the block of an encoder, or of the settings of a network."""

    #: With the key of the block that it is in, where it is in one: ``attention.heads``.
    name: str
    #: As YAML has it.
    default: str
    meaning: str


def summary_of(block: type[Schema]) -> str:
    """What an encoder or a network does and which paper it is from, in one line."""
    return (inspect.getdoc(block) or "").split("\n", 1)[0]


def settings_of(block: type[Schema], prefix: str = "") -> Iterator[Setting]:
    """Settings of an encoder, those that all have last, or of a network."""
    meanings = _meanings(block)
    fields = sorted(block.model_fields.items(), key=lambda field: field[0] == "activation")
    for name, field in fields:
        yield Setting(prefix + name, json.dumps(field.default).replace('"', ""), meanings[name])
        for inner in typing.get_args(field.annotation):
            if isinstance(inner, type) and issubclass(inner, Schema):
                yield from settings_of(inner, f"{prefix}{name}.")


def _meanings(block: type[Schema]) -> dict[str, str]:
    """Comments of the fields of a schema, and of those it is derived from."""
    meanings: dict[str, str] = {}
    for one in reversed(block.__mro__):
        if isinstance(one, type) and issubclass(one, Schema):
            for comment, name in _COMMENT.findall(inspect.getsource(one)):
                meanings[name] = " ".join(re.sub(r" *#: ", " ", comment).split())
    return meanings


def description_of(network: Network) -> str:
    """Widths and settings of a network of the zoo, in one line."""
    settings = dict(next((one for name, one in network.encoders.items() if name.startswith(EVERY)), {}))
    blocks = settings.pop("hidden", ())
    parts = [str(settings["type"]) if settings else ""]
    parts += [f"{name} {one['type']}" for name, one in network.encoders.items() if not name.startswith(EVERY)]
    parts += ["-".join(map(str, (*blocks, *network.hidden)))]
    if network.latent is not None:
        kind = f"variational, β {network.latent.beta:g}" if network.latent.variational else "mirrored behind it"
        parts.append(f"latent {network.latent.size} ({kind})")
    parts.append(network.activation)
    parts += [f"dropout {network.dropout:g}" if network.dropout else "", f"norm {network.norm}" if network.norm else ""]
    parts += [f"l1 {network.l1:g}" if network.l1 else "", f"l2 {network.l2:g}" if network.l2 else ""]
    if settings.get("attention"):
        parts.append("attention " + ", ".join(f"{key} {value}" for key, value in settings["attention"].items()))
    return "; ".join(filter(None, [*parts, network.loss, network.optimizer]))


def catalogue(name: str | None = None) -> str:
    """Lines that name all encoders and networks, or all settings of one of them."""
    if name is not None:
        require_name(name, [*ENCODERS, *ADJUSTABLE], "encoder or network with settings", "NAME")
        chosen: type[Schema] = ADJUSTABLE.get(name) or ENCODERS[name]
        rows = [(f"{one.name}: {one.default}", one.meaning) for one in settings_of(chosen)]
        kinds = f", for {', '.join(ENCODERS[name].kinds)}" if name in ENCODERS else ""
        return "\n".join([f"{name}{kinds}: {summary_of(chosen)}", "", *_aligned(rows)])
    encoders = [(name, ", ".join(one.kinds), summary_of(one)) for name, one in ENCODERS.items()]
    networks = [(name, description_of(network)) for name, network in ZOO.items()]
    return "\n".join(
        [
            "encoders, as `model: encoders: {GROUP: {type: NAME}}`; settings of one: ntupleml networks NAME",
            *_aligned(encoders),
            "",
            "networks, as `model: {name: NAME}`; settings of one, as `model: {name: NAME, settings: {…}}`: "
            f"ntupleml networks {' or '.join(ADJUSTABLE)}",
            *_aligned(networks),
        ]
    )


def _aligned(rows: list[tuple[Any, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]

"""JSON schemas of the configs, by which editors complete and check YAML; `make schemas` writes them."""

from __future__ import annotations

from pathlib import Path


def schema_file(config: str) -> Path:
    """JSON schema of a config: `dataset`, `training`, `testing`, `application`, `conversion` or `images`.

    `analysis` is that of a file with blocks of the first four.
    """
    return Path(__file__).with_name(f"{config}.json")


def editor_line(config: str) -> str:
    """First line of a YAML file that tells editors its schema."""
    return f"# yaml-language-server: $schema={schema_file(config)}\n"

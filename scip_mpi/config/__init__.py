"""The config: YAML in SCIP's vocabulary, checked whole before any image is touched."""

from __future__ import annotations

from scip_mpi.config.problems import ConfigError, Problem
from scip_mpi.config.reading import json_schema, parse_config, read_config, resolve_channels
from scip_mpi.config.schema import Config

__all__ = [
    "Config",
    "ConfigError",
    "Problem",
    "json_schema",
    "parse_config",
    "read_config",
    "resolve_channels",
]

"""The YAML config: SCIP's vocabulary, checked whole, every problem said with its line and key."""

from scip_mpi.config.check import ConfigError, parse_config, read_config, resolve_channels
from scip_mpi.config.problems import Problem
from scip_mpi.config.schema import Config, json_schema

__all__ = [
    "Config",
    "ConfigError",
    "Problem",
    "json_schema",
    "parse_config",
    "read_config",
    "resolve_channels",
]

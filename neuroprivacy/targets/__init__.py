"""Chips as data: one TOML file per target, and the `TargetSpec` that it is read into."""

"""Real weights to integer weights: scale limits, scale search, rounding, calibration."""

"""The operator's face: health, metrics, admin API."""

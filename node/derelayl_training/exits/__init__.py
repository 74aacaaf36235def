"""Early exits at inference: a pulled model, its calibration, and leaving at the head that is sure enough."""

"""Training, calibration, evaluation and promotion of model bundles. Uses core, model and pipeline; never the servers."""

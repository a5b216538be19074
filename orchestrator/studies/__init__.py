"""Settings that Optuna suggests: what they are judged by, and the files that say what was suggested."""

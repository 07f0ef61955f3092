"""The evaluation of models: likelihood (bound_terms.py), and how good samples are (study.py, sample_quality.py)."""

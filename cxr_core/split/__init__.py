"""Cohort to folds, per protocol. Decides who tests whom; never looks at a pixel."""

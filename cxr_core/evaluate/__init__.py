"""Predictions to evidence: points, intervals, tables, figures. Decides nothing."""

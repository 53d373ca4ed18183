"""Reporting forms, filled with what a run knows; what it does not know stays blank, is listed and counted."""

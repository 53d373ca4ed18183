"""Prefect flows and the ``cxr`` command. A flow reads as a table of contents: one call a stage."""

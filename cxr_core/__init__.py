"""The science and the decisions of a chest X-ray retraining system: values in, values out.

Imports no orchestrator, tracker, data-version tool, network client or subprocess; ``tasks`` joins it to those.
"""

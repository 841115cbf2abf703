"""Answers the requests to the served models: admission, batching, drawing, metrics.

Knows no process and no port.
"""

"""What the served models do with requests: admission, batching, drawing, metrics.

Knows no process and no port.
"""

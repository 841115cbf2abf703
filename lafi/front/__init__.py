"""What clients reach: a KServe v2 gRPC server of our own before Triton Server.

Knows no panel, no step and no engine: only requests, streams and specs of served models.
"""

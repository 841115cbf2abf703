"""The command line and `lafi doctor`.

May import every room; no room imports it.
"""

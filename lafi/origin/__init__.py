"""Who made a file: signed C2PA manifests that say so. Signs on the client, with the user's key.

Knows nothing of storyboards, servers and networks.
"""

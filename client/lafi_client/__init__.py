"""A thin gRPC client of the storyboard server. Needs no torch and no local server."""

from lafi_client.aio import AsyncStoryboardClient
from lafi_client.client import StoryboardClient
from lafi_client.errors import (
    DrawTimeout,
    IdentityRefused,
    LafiError,
    PanelFailed,
    ServerUnavailable,
    StoryboardRefused,
    StoryboardUnknown,
)
from lafi_client.identity import IdentityClient
from lafi_client.retry import RetryPolicy
from lafi_client.story_file import Overrides, load_story

__all__ = [
    "AsyncStoryboardClient",
    "DrawTimeout",
    "IdentityClient",
    "IdentityRefused",
    "LafiError",
    "Overrides",
    "PanelFailed",
    "RetryPolicy",
    "ServerUnavailable",
    "StoryboardClient",
    "StoryboardRefused",
    "StoryboardUnknown",
    "load_story",
]

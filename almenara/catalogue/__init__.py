"""Topics and channels: each change is one unit of work, effective when it returns."""

from almenara.catalogue.change import Changes
from almenara.catalogue.channels import Channels, ChannelSpec, Written
from almenara.catalogue.pausing import Pausing
from almenara.catalogue.topics import StoredTopic, Topics, TopicSpec, TopicStep

__all__ = [
    "Changes",
    "ChannelSpec",
    "Channels",
    "Pausing",
    "StoredTopic",
    "TopicSpec",
    "TopicStep",
    "Topics",
    "Written",
]
